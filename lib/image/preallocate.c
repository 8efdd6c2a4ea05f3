/* What a disk that grows maps beyond its old end. Host clusters for it have never been used, so
 * they read as zeros without being written; on a device, which has no such clusters, they are
 * zeroed. */
#include <inttypes.h>

#include "base/align.h"
#include "image/resize_internal.h"

#define RUN_MAX 256

/* Entries of nr clusters from `guest` on, inside one L2 table: raw, raw + step, ... */
static int entries_set(struct resize *z, uint64_t guest, uint64_t nr, uint64_t raw, uint64_t step,
		       uint64_t bitmap, struct err *e)
{
	struct map_words words[RUN_MAX];
	uint32_t idx = geom_l2_index(&z->img->geom, guest);

	while (nr) {
		uint32_t n = (uint32_t)MIN(nr, RUN_MAX);

		for (uint32_t i = 0; i < n; i++, raw += step)
			words[i] = (struct map_words){ raw, bitmap };
		if (map_entries_set(&z->disk->map, z->w->l2_off, idx, words, n, e) < 0)
			return -1;
		idx += n;
		nr -= n;
	}
	return 0;
}

/* Zeros as the guest of an encrypted image sees them. */
static int zeros_write(struct resize *z, uint64_t guest, uint64_t host, uint64_t len,
		       struct err *e)
{
	static const uint8_t zeros[65536];
	size_t n;

	for (; len; len -= n, guest += n, host += n) {
		n = (size_t)MIN(len, sizeof zeros);
		if (writer_write_host(z->w, guest, host, zeros, n, e) < 0)
			return -1;
	}
	return 0;
}

static int host_prepare(struct resize *z, uint64_t guest, uint64_t host, uint64_t len,
			enum preallocation how, struct err *e)
{
	struct file *f = z->img->file;

	z->host_end = MAX(z->host_end, host + len);
	if (image_is_encrypted(z->img) && z->img->geom.version < 3)
		return zeros_write(z, guest, host, len, e);
	if (how == PREALLOCATION_FULL)
		return file_zero(f, host, len, FILE_ZERO_WRITE, e);
	if (!file_is_regular(f))
		return file_zero(f, host, len, FILE_ZERO_PUNCH, e);
	return how == PREALLOCATION_FALLOC ? file_allocate(f, host, len, e) : 0;
}

/* Clusters from .. from + (nr << cluster_bits) - 1, inside one L2 table, get host clusters. */
static int clusters_map(struct resize *z, uint64_t guest, uint64_t nr, enum preallocation how,
			uint64_t bitmap, struct err *e)
{
	const struct geom *g = &z->img->geom;
	/* What was never written would decrypt to noise: it has a place, and reads as zeros. */
	bool marks = image_is_encrypted(z->img) && g->version >= 3;
	uint64_t zero = marks && !g->subclusters ? ENTRY_ZERO : 0, host, n;

	if (marks && g->subclusters)
		bitmap = L2_ALL_ZERO;
	for (; nr; nr -= n, guest += n << g->cluster_bits) {
		if (writer_take(z->w, guest, nr, &host, &n, e) < 0)
			return -1;
		if (!g->data_file && host_prepare(z, guest, host, n << g->cluster_bits, how, e) < 0)
			return -1;
		if (entries_set(z, guest, n, host | ENTRY_COPIED | zero, geom_cluster_size(g),
				bitmap, e) < 0)
			return -1;
	}
	return 0;
}

static int clusters_mark(struct resize *z, uint64_t guest, uint64_t nr, struct err *e)
{
	if (z->img->geom.subclusters)
		return entries_set(z, guest, nr, 0, 0, L2_ALL_ZERO, e);
	return entries_set(z, guest, nr, ENTRY_ZERO, 0, 0, e);
}

/* The file reaches as far as tables lead before any of them does. */
static int file_extend(struct resize *z, struct err *e)
{
	struct file *f = z->img->file;

	return file_is_regular(f) && file_size(f) < z->host_end ? file_truncate(f, z->host_end, e)
								: 0;
}

static int relax(struct resize *z, struct err *e)
{
	if (!txn_is_full(z->w->txn))
		return 0;
	return file_extend(z, e) < 0 ? -1 : txn_commit(z->w->txn, e);
}

/* Whole clusters from .. to-1. covered: the backing file reaches over them. */
static int range_fill(struct resize *z, uint64_t from, uint64_t to, bool covered, struct err *e)
{
	const struct geom *g = &z->img->geom;
	enum preallocation how = z->preallocation;
	uint64_t span = UINT64_C(1) << geom_l2_span_bits(g), n, nr;

	/* Version 2 has no marks: clusters that read as zeros take their place. */
	if (covered && g->version < 3)
		how = MAX(how, PREALLOCATION_METADATA);
	if (!covered && how == PREALLOCATION_OFF)
		return 0;
	for (; from < to; from += n) {
		n = MIN(to - from, span - (from & (span - 1)));
		nr = n >> g->cluster_bits;
		if (watch_stopped(z->watch, e) < 0 || writer_l2(z->w, from, e) < 0)
			return -1;
		if (how == PREALLOCATION_OFF
			    ? clusters_mark(z, from, nr, e) < 0
			    : clusters_map(z, from, nr, how,
					   covered && g->subclusters ? L2_ALL_ZERO : 0, e) < 0)
			return -1;
		if (relax(z, e) < 0)
			return -1;
	}
	return 0;
}

/* A file that could not grow as far as it should: part of the space may be taken already. */
static void file_give_back(struct file *f, uint64_t size)
{
	struct err ignored = ERR_INIT;

	if (file_truncate(f, size, &ignored) < 0)
		return; /* it stays longer than it has to be, which harms nobody */
}

/* Space for everything is asked for at once: where it is not to be had, nothing has changed yet. */
static int reserve(struct resize *z, uint64_t from, uint64_t to, struct err *e)
{
	const struct geom *g = &z->img->geom;
	struct file *f = z->img->file;
	uint64_t clusters = (to - from) >> g->cluster_bits, old = file_size(f);

	clusters += (clusters >> g->l2_bits) + 1;
	clusters += (clusters >> geom_refcount_block_bits(g)) + 1;
	if (file_allocate(f, old, clusters << g->cluster_bits, e) == 0)
		return 0;
	file_give_back(f, old);
	return -1;
}

int resize_fill(struct resize *z, struct err *e)
{
	const struct geom *g = &z->img->geom;
	uint64_t size = geom_cluster_size(g), from = align_up(z->old_size, size);
	uint64_t to = align_up(z->size, size), covered = MIN(z->backing_end, to);
	bool maps = z->preallocation != PREALLOCATION_OFF || (covered > from && g->version < 3);

	covered = MAX(align_up(covered, size), from);
	if (from >= to)
		return 0;
	if (maps && !g->data_file && file_is_regular(z->img->file)) {
		if (txn_take_behind_end(z->w->txn, e) < 0)
			return -1;
		if (z->preallocation >= PREALLOCATION_FALLOC && reserve(z, from, to, e) < 0)
			return -1;
	}
	if (range_fill(z, from, covered, true, e) < 0 || range_fill(z, covered, to, false, e) < 0)
		return -1;
	return file_extend(z, e);
}

/* Bytes that the data file has behind the end of the disk would show through new entries. */
static int data_file_clear(struct resize *z, struct err *e)
{
	struct file *f = z->img->data_file;
	uint64_t end = MIN(file_size(f), align_up(z->size, geom_cluster_size(&z->img->geom)));

	if (z->preallocation == PREALLOCATION_OFF || end <= z->old_size)
		return 0;
	return file_zero(f, z->old_size, end - z->old_size, FILE_ZERO_PUNCH, e);
}

/* As much as is written between two looks at whether it is to stop. */
#define ZERO_BYTES (UINT64_C(256) << 20)

static int data_file_write(struct resize *z, uint64_t from, uint64_t to, struct err *e)
{
	for (uint64_t n; from < to; from += n) {
		n = MIN(to - from, ZERO_BYTES);
		if (watch_stopped(z->watch, e) < 0 ||
		    file_zero(z->img->data_file, from, n, FILE_ZERO_WRITE, e) < 0)
			return -1;
	}
	return 0;
}

static int data_file_extend(struct resize *z, struct err *e)
{
	struct file *f = z->img->data_file;
	uint64_t old = z->old_size, len = z->size - z->old_size;

	if (file_size(f) < z->size && file_truncate(f, z->size, e) < 0)
		return -1;
	if (z->preallocation == PREALLOCATION_FALLOC)
		return file_allocate(f, old, len, e);
	return z->preallocation == PREALLOCATION_FULL ? data_file_write(z, old, z->size, e) : 0;
}

int resize_fill_data_file(struct resize *z, struct err *e)
{
	struct file *f = z->img->data_file;
	uint64_t had;

	if (!z->img->geom.data_file)
		return 0;
	/* Who reads the data file by itself sees all of the disk (10.1). */
	if (z->w->data_file_raw)
		z->preallocation = MAX(z->preallocation, PREALLOCATION_METADATA);
	had = file_size(f);
	if (z->w->data_file_raw && align_up(had, geom_cluster_size(&z->img->geom)) < z->old_size)
		return err_set(e, ERR_CORRUPT,
			       "the data file is shorter than the disk: %" PRIu64
			       " bytes instead of %" PRIu64,
			       had, z->old_size);
	if (data_file_clear(z, e) == 0 && data_file_extend(z, e) == 0)
		return 0;
	file_give_back(f, had);
	return file_failed_as_data(f, e);
}
