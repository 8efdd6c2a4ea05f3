/* Where clusters of a new image go, and the L2 entries that say so. */
#include "image/builder_internal.h"

#include <string.h>

#include "base/align.h"

/* The host place that a preallocated cluster has from the start. */
static uint64_t mapped_place(const struct builder *b, uint64_t guest)
{
	return b->data_file ? guest : b->layout.data_off + guest;
}

/* Makes the table under construction what it is before anything is entered. */
void builder_l2_init(struct builder *b)
{
	const struct geom *g = &b->geom;
	uint64_t first = b->l2_idx << g->l2_bits, clusters = geom_clusters(g, g->disk_size);
	uint64_t nr = first < clusters ? MIN(clusters - first, geom_l2_entries(g)) : 0;
	uint64_t place = mapped_place(b, first << g->cluster_bits) | ENTRY_COPIED;
	/* What was never written would decrypt to noise: it has a place, and reads as zeros. */
	bool marks = b->cipher.sectors && g->version >= 3;

	b->l2_used = false;
	memset(b->l2, 0, geom_cluster_size(g));
	if (!b->mapped)
		return;
	for (uint64_t i = 0; i < nr; i++, place += geom_cluster_size(g))
		l2_entry_store(g, b->l2, (uint32_t)i,
			       place | (marks && !g->subclusters ? ENTRY_ZERO : 0),
			       marks ? L2_ALL_ZERO : 0);
}

/* The guest has moved past the table: it is final. */
int builder_l2_close(struct builder *b, struct err *e)
{
	uint64_t size = geom_cluster_size(&b->geom), cluster, nr;

	if (b->mapped)
		return gather_put(&b->tables, b->layout.l2_off + b->l2_idx * size, b->l2,
				  size, e);
	if (!b->l2_used)
		return 0;
	if (host_space_take(&b->space, 1, &cluster, &nr, e) < 0)
		return -1;
	b->l1[b->l2_idx] = cluster << b->geom.cluster_bits;
	return file_write_at(b->file, b->l1[b->l2_idx], b->l2, size, e);
}

static int l2_move_to(struct builder *b, uint64_t idx, struct err *e)
{
	if (idx < b->l2_idx)
		return err_set(e, ERR_INVALID,
			       "guest offsets must rise while an image is built");
	while (b->l2_idx < idx) {
		if (builder_l2_close(b, e) < 0)
			return -1;
		/* Without preallocation a table that nothing was entered into stays as it
		 * is. */
		bool fresh = !b->mapped && !b->l2_used;

		b->l2_idx = fresh ? idx : b->l2_idx + 1;
		if (!fresh)
			builder_l2_init(b);
	}
	return 0;
}

/* The bits of the subclusters that [from, to) touches; bytes within one cluster. */
static uint64_t subcluster_bits(const struct geom *g, uint64_t from, uint64_t to)
{
	unsigned first = (unsigned)(from >> (g->cluster_bits - 5));
	unsigned end = (unsigned)((to - 1) >> (g->cluster_bits - 5)) + 1;

	return ((UINT64_C(1) << end) - 1) & ~((UINT64_C(1) << first) - 1);
}

static void entry_set(struct builder *b, uint32_t idx, uint64_t host, uint64_t from,
		      uint64_t to)
{
	struct l2_entry x = l2_entry_at(&b->geom, b->l2, idx);
	uint64_t bits = b->geom.subclusters ? subcluster_bits(&b->geom, from, to) : 0;

	l2_entry_store(&b->geom, b->l2, idx, host | ENTRY_COPIED,
		       (x.bitmap | bits) & ~(bits << 32));
	b->l2_used = true;
}

/* Places for up to `want` clusters from `guest` on that have none yet. */
static int places_take(struct builder *b, uint64_t guest, uint64_t want, uint64_t *host,
		       uint64_t *nr, struct err *e)
{
	uint64_t first;

	if (b->mapped || b->data_file) {
		*host = mapped_place(b, align_down(guest, geom_cluster_size(&b->geom)));
		*nr = want;
		return 0;
	}
	if (host_space_take(&b->space, want, &first, nr, e) < 0)
		return -1;
	*host = first << b->geom.cluster_bits;
	return 0;
}

int builder_assign(struct builder *b, uint64_t guest, uint64_t len, uint64_t *host,
		   uint64_t *run, struct err *e)
{
	const struct geom *g = &b->geom;
	uint64_t in_cluster = geom_in_cluster(g, guest), size = geom_cluster_size(g);
	uint32_t idx = geom_l2_index(g, guest);
	uint64_t left = geom_l2_entries(g) - idx, place, nr = 1;

	if (l2_move_to(b, geom_l1_index(g, guest), e) < 0)
		return -1;
	struct l2_entry x = l2_entry_at(g, b->l2, idx);

	if (x.has_host && !b->mapped)
		place = x.host; /* another part of a cluster that has its place */
	else if (places_take(b, guest, MIN(left, geom_clusters(g, in_cluster + len)),
			     &place, &nr, e) < 0)
		return -1;
	*host = place + in_cluster;
	*run = MIN(len, nr * size - in_cluster);
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t from = i ? 0 : in_cluster;
		uint64_t to = MIN(size, in_cluster + *run - i * size);

		entry_set(b, (uint32_t)(idx + i), place + i * size, from, to);
	}
	return 0;
}

int builder_write(struct builder *b, uint64_t guest, uint64_t host, void *buf, size_t n,
		  struct err *e)
{
	if (b->cipher.sectors)
		image_cipher_encrypt(&b->cipher, guest, host, buf, n);
	if (!b->data_file)
		return file_write_at(b->file, host, buf, n, e);
	return file_write_at(b->data_file, host, buf, n, e) < 0
		       ? file_failed_as_data(b->data_file, e)
		       : 0;
}

bool builder_encrypts(const struct builder *b)
{
	return b->cipher.sectors;
}

int builder_write_zeros(struct builder *b, uint64_t guest, uint64_t host, uint64_t len,
			struct err *e)
{
	uint8_t piece[16384];
	size_t n;

	for (; len; len -= n, guest += n, host += n) {
		n = (size_t)MIN(len, sizeof piece);
		memset(piece, 0, n);
		if (watch_stopped(b->options.watch, e) < 0 ||
		    builder_write(b, guest, host, piece, n, e) < 0)
			return -1;
	}
	return 0;
}

int builder_put_packed(struct builder *b, uint64_t guest, const void *packed, uint32_t n,
		       struct err *e)
{
	uint64_t host;

	if (b->fixed || b->data_file || b->cipher.sectors)
		return err_set(
			e, ERR_INVALID,
			"compressed clusters go neither with preallocation nor with a data file "
			"nor with encryption");
	if (l2_move_to(b, geom_l1_index(&b->geom, guest), e) < 0 ||
	    host_space_pack(&b->space, packed, n, &host, e) < 0)
		return -1;
	l2_entry_store(&b->geom, b->l2, geom_l2_index(&b->geom, guest),
		       l2_entry_packed(&b->geom, host, n), 0);
	b->l2_used = true;
	return 0;
}

/* One cluster, or a part of it, becomes zeros. */
static void zero_enter(struct builder *b, uint32_t idx, uint64_t from, uint64_t to)
{
	struct l2_entry x = l2_entry_at(&b->geom, b->l2, idx);

	if (b->geom.subclusters)
		l2_entry_store(&b->geom, b->l2, idx, x.raw,
			       x.bitmap | subcluster_bits(&b->geom, from, to) << 32);
	else
		l2_entry_store(&b->geom, b->l2, idx, x.raw | ENTRY_ZERO, 0);
	b->l2_used = true;
}

int builder_put_zero(struct builder *b, uint64_t guest, uint64_t len, struct err *e)
{
	const struct geom *g = &b->geom;

	while (len) {
		uint64_t in_cluster = geom_in_cluster(g, guest), host;
		uint64_t n = MIN(len, geom_cluster_size(g) - in_cluster);

		/* Version 2 has no zero clusters: a place that is never written reads as
		 * zeros. */
		if (g->version < 3) {
			if (builder_assign(b, guest, n, &host, &n, e) < 0 ||
			    (b->cipher.sectors && builder_write_zeros(b, guest, host, n, e) < 0))
				return -1;
		} else {
			if (l2_move_to(b, geom_l1_index(g, guest), e) < 0)
				return -1;
			zero_enter(b, geom_l2_index(g, guest), in_cluster, in_cluster + n);
		}
		guest += n;
		len -= n;
	}
	return 0;
}
