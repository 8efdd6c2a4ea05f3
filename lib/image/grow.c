#include "image/grow.h"

#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "image/writer_internal.h"

static int size_check(const struct image_writer *w, uint64_t size, struct err *e)
{
	const struct geom *g = writer_geom(w);

	if (size > FILE_OFFSET_MAX - SECTOR_SIZE || geom_l1_entries(g, size) > L1_BYTES_MAX / 8)
		return err_set(e, ERR_INVALID,
			       "clusters of %llu bytes do not allow a disk of %llu bytes",
			       (unsigned long long)geom_cluster_size(g),
			       (unsigned long long)size);
	/* There, snapshots do not say how long the disk was. */
	if (g->version < 3 && w->img->snapshot_nr)
		return err_set(e, ERR_UNSUPPORTED,
			       "a version 2 image with snapshots can't change its size");
	return 0;
}

/* What the L1 table leads to behind the end of the disk is the state of a virtual machine, or what
 * shrinking left: it must not become part of the disk (8.6). */
static int rest_drop(struct image_writer *w, struct err *e)
{
	uint64_t need = geom_l1_entries(writer_geom(w), w->disk->size);

	for (uint64_t i = need; i < w->disk->map.l1_nr; i++)
		if (writer_l1_clear(w, (uint32_t)i, e) < 0 || image_writer_relax(w, e) < 0)
			return -1;
	return txn_commit(w->txn, e);
}

/* A longer L1 table, exactly as long as needed. All that the old one says is durable. */
static int l1_grow(struct image_writer *w, uint64_t size, struct err *e)
{
	const struct geom *g = writer_geom(w);
	struct map *m = &w->disk->map, old = *m;
	uint64_t need = geom_l1_entries(g, size), host, slice, len = old.l1_nr * UINT64_C(8);
	int ret = 0;

	if (need <= old.l1_nr)
		return 0;
	if (txn_take_table(w->txn, TXN_L1_TABLE, geom_clusters(g, need * 8), &host, e) < 0)
		return -1;
	slice = UINT64_C(1) << table_cache_slice_bits(w->img->tables);
	for (uint64_t at = 0; ret == 0 && at < len; at += slice) {
		const struct table_slice *s;

		if (table_cache_get(w->img->tables, old.l1_off + at, &s, e) < 0)
			return err_ctx(e, "L1 table");
		ret = table_cache_edit(w->img->tables, host + at, s->bytes,
				       (size_t)MIN(slice, len - at), e);
		table_cache_put(w->img->tables, s);
	}
	if (ret < 0 || (len && txn_release(w->txn, old.l1_off, len, 1, e) < 0))
		return -1;
	w->img->header.l1_table_off = m->l1_off = host;
	w->img->header.l1_size = m->l1_nr = (uint32_t)need;
	w->l1_idx = UINT64_MAX;
	txn_header(w->txn, HEADER_L1);
	return txn_commit(w->txn, e);
}

/* The rest of the cluster that the disk ended in, where it holds anything but zeros. */
static int tail_zero(struct image_writer *w, uint64_t from, uint64_t to, struct err *e)
{
	size_t n = (size_t)(to - from);

	if (!n)
		return 0;
	if (disk_read(w->reader, from, w->cluster, n, e) < 0)
		return -1;
	return bytes_are_zero(w->cluster, n) ? 0 : image_write_zeros(w, from, n, true, e);
}

/* Entries that were left behind the old end, and whatever a longer backing file would show. */
static int area_zero(struct image_writer *w, uint64_t first, struct err *e)
{
	uint64_t size = geom_cluster_size(writer_geom(w)), end = w->disk->size;
	struct extent x;

	for (uint64_t at = first, from; at < end; at = x.guest + x.len) {
		if (disk_next(w->disk, at, end - at, &x, e) < 0)
			return -1;
		if (x.kind == EXTENT_ABSENT ||
		    (x.kind == EXTENT_ZERO && x.depth == w->disk->depth))
			continue;
		from = align_down(at, size); /* all of it may be zeros: no part needs writing */
		x.len = MIN(align_up(at + x.len, size), end) - at;
		if (image_write_zeros(w, from, at + x.len - from, true, e) < 0)
			return -1;
	}
	return 0;
}

static int data_file_grow(struct image_writer *w, uint64_t old, uint64_t size, struct err *e)
{
	struct file *f = w->img->data_file;

	if (!f)
		return 0;
	if ((file_size(f) < size && file_truncate(f, size, e) < 0) ||
	    (w->data_file_raw && file_zero(f, old, size - old, FILE_ZERO_PUNCH, e) < 0))
		return err_ctx(e, "data file");
	return 0;
}

int image_grow(struct image_writer *w, uint64_t size, struct err *e)
{
	uint64_t old = w->disk->size, cluster = geom_cluster_size(writer_geom(w));
	uint64_t first = MIN(align_up(old, cluster), size);

	if (size <= old)
		return 0;
	if (size_check(w, size, e) < 0 || writer_begin(w, e) < 0 || rest_drop(w, e) < 0 ||
	    l1_grow(w, size, e) < 0 || data_file_grow(w, old, size, e) < 0)
		return -1;
	/* The file says so last, when the new part reads as zeros durably. */
	w->disk->size = w->img->geom.disk_size = w->img->header.size = size;
	if (tail_zero(w, old, first, e) < 0 || area_zero(w, first, e) < 0)
		return -1;
	txn_header(w->txn, HEADER_SIZE);
	return txn_commit(w->txn, e);
}

int disk_raw_grow(struct disk *d, uint64_t size, struct err *e)
{
	if (size <= d->size)
		return 0;
	if (file_truncate(d->file, d->window_off + size, e) < 0)
		return -1;
	d->size = size;
	return 0;
}
