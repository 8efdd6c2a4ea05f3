/* A longer disk (17.1). Nothing of it is seen before the header has the new size, last of all; what
 * a crash leaves behind the old end is dropped by whoever grows the disk the next time. */
#include <inttypes.h>

#include "base/align.h"
#include "base/bits.h"
#include "image/resize_internal.h"

static int l1_copy(struct resize *z, const struct map *old, uint64_t to, uint32_t nr,
		   struct err *e)
{
	uint64_t size = UINT64_C(1) << table_cache_slice_bits(z->img->tables);
	const struct table_slice *s;

	for (uint64_t at = 0; at < nr * UINT64_C(8); at += size) {
		int ret;

		if (table_cache_get(z->img->tables, old->l1_off + at, &s, e) < 0)
			return err_ctx(e, "L1 table");
		ret = table_cache_edit(z->img->tables, to + at, s->bytes,
				       (size_t)MIN(size, nr * UINT64_C(8) - at), e);
		table_cache_put(z->img->tables, s);
		if (ret < 0)
			return -1;
	}
	return 0;
}

/* A longer L1 table, if one is needed, with the first `keep` entries of the old one. */
static int l1_grow(struct resize *z, const struct map *old, uint32_t keep, struct err *e)
{
	const struct geom *g = &z->img->geom;
	struct header *h = &z->img->header;
	uint64_t need = geom_l1_entries(g, z->size), off;

	if (need <= old->l1_nr)
		return 0;
	if (txn_take_table(z->w->txn, TXN_L1_TABLE, geom_clusters(g, need * 8), &off, e) < 0 ||
	    l1_copy(z, old, off, keep, e) < 0)
		return -1;
	h->l1_table_off = off;
	h->l1_size = (uint32_t)need;
	txn_header(z->w->txn, HEADER_L1);
	return 0;
}

/* What others have left behind the end, such as the state of a running machine (8.6): the disk is
 * about to reach there. */
static int stale_drop(struct resize *z, const struct map *old, uint32_t keep, struct err *e)
{
	bool same = z->disk->map.l1_off == old->l1_off;
	uint64_t end = align_up(z->old_size, geom_cluster_size(&z->img->geom));

	if (resize_drop_tables(z, old->l1_off, keep, old->l1_nr, same, e) < 0)
		return -1;
	if (!same && old->l1_nr &&
	    txn_release(z->w->txn, old->l1_off, old->l1_nr * UINT64_C(8), 1, e) < 0)
		return -1;
	return resize_drop_entries(z, end, e);
}

/* Whether anything but zeros would show in the piece of a cluster that x is; x->len may become
 * shorter. */
static int tail_shows(struct resize *z, struct extent *x, bool *shows, struct err *e)
{
	*shows = false;
	if (x->kind == EXTENT_ABSENT && x->guest < z->backing_end) {
		*shows = true;
		x->len = MIN(x->len, z->backing_end - x->guest);
	}
	if (x->kind != EXTENT_DATA && x->kind != EXTENT_PACKED)
		return 0;
	if (disk_read(z->w->reader, x->guest, z->w->cluster, (size_t)x->len, e) < 0)
		return -1;
	*shows = !bytes_are_zero(z->w->cluster, (size_t)x->len);
	return 0;
}

/* The rest of the cluster that the disk ended in. */
static int tail_zero(struct resize *z, struct err *e)
{
	uint64_t at = z->old_size;
	uint64_t end = MIN(align_up(at, geom_cluster_size(&z->img->geom)), z->size);
	struct extent x;
	bool shows;

	for (; at < end; at += x.len) {
		if (disk_next_above(z->disk, z->disk->depth + 1, at, end - at, &x, e) < 0 ||
		    tail_shows(z, &x, &shows, e) < 0 ||
		    (shows && image_write_zeros(z->w, at, x.len, false, e) < 0))
			return -1;
	}
	return 0;
}

/* Space that was reserved and not needed. */
static int reserve_cut(struct resize *z, struct err *e)
{
	uint64_t end;

	if (z->preallocation < PREALLOCATION_FALLOC || z->img->geom.data_file ||
	    !file_is_regular(z->img->file))
		return 0;
	if (txn_image_end(z->w->txn, &end, e) < 0)
		return -1;
	return file_size(z->img->file) > end ? file_truncate(z->img->file, end, e) : 0;
}

int resize_grow(struct resize *z, struct err *e)
{
	struct map old = z->disk->map;
	uint32_t keep = (uint32_t)geom_l1_entries(&z->img->geom, z->old_size);

	if (resize_fill_data_file(z, e) < 0 || l1_grow(z, &old, keep, e) < 0)
		return -1;
	resize_take_size(z);
	if (stale_drop(z, &old, keep, e) < 0 || tail_zero(z, e) < 0 || resize_fill(z, e) < 0 ||
	    (z->bitmaps && resize_bitmaps(z, e) < 0) || resize_commit_size(z, e) < 0 ||
	    image_writer_finish(z->w, e) < 0)
		return -1;
	return reserve_cut(z, e);
}
