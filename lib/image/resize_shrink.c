/* A shorter disk (17.2). The header comes first: its one write cuts size and L1 table, and whatever
 * happens afterwards concerns clusters that nobody sees any more. A crash leaks them. */
#include <inttypes.h>

#include "base/align.h"
#include "image/resize_internal.h"

static int size_cut(struct resize *z, uint32_t need, struct err *e)
{
	if (need < z->img->header.l1_size) {
		z->img->header.l1_size = need;
		txn_header(z->w->txn, HEADER_L1);
	}
	resize_take_size(z);
	return resize_commit_size(z, e);
}

/* The end of the L1 table: clusters of it that are not needed go. What is left of the last one must
 * not come back when somebody makes the table longer in its place. */
static int l1_cut(struct resize *z, const struct map *old, uint32_t need, struct err *e)
{
	static const uint8_t zeros[4096];
	const struct geom *g = &z->img->geom;
	uint64_t from = need * UINT64_C(8), to = old->l1_nr * UINT64_C(8);
	uint64_t kept = MIN(align_up(from, geom_cluster_size(g)), to), n;

	for (uint64_t at = from; at < kept; at += n) {
		n = MIN(kept - at, sizeof zeros);
		if (table_cache_edit(z->img->tables, old->l1_off + at, zeros, (size_t)n, e) < 0)
			return -1;
	}
	return kept < to ? txn_release(z->w->txn, old->l1_off + kept, to - kept, 1, e) : 0;
}

/* Bytes behind the end in the last cluster, for other programs' sake: not all of them look there
 * when the disk grows. Where the cluster can't be written to as it is they stay. */
static int tail_zero(struct resize *z, struct err *e)
{
	const struct geom *g = &z->img->geom;
	uint64_t in = geom_in_cluster(g, z->size), l2_off;
	struct l2_entry x;
	bool in_place;

	if (!in || g->data_file)
		return 0;
	if (map_l2_find(&z->disk->map, z->size - in, &l2_off, e) < 0)
		return -1;
	if (!l2_off)
		return 0;
	if (map_entry_get(&z->disk->map, l2_off, geom_l2_index(g, z->size), &x, e) < 0 ||
	    writer_in_place(z->w, &x, &in_place, e) < 0)
		return -1;
	return in_place ? file_zero(z->img->file, x.host + in, geom_cluster_size(g) - in,
				    FILE_ZERO_WRITE, e)
			: 0;
}

static int file_cut(struct resize *z, struct err *e)
{
	struct image *img = z->img;
	uint64_t end;

	if (txn_image_end(z->w->txn, &end, e) < 0)
		return -1;
	if (file_size(img->file) > end && file_truncate(img->file, end, e) < 0)
		return -1;
	if (img->geom.data_file && file_size(img->data_file) > z->size &&
	    (file_truncate(img->data_file, z->size, e) < 0 || file_flush(img->data_file, e) < 0))
		return file_failed_as_data(img->data_file, e);
	return file_flush(img->file, e);
}

int resize_shrink(struct resize *z, struct err *e)
{
	const struct geom *g = &z->img->geom;
	uint32_t need = (uint32_t)geom_l1_entries(g, z->size);
	struct map old = z->disk->map;

	if (image_writer_counts_check(z->w, z->watch, e) < 0)
		return -1;
	txn_punch(z->w->txn, true);
	if ((z->bitmaps && resize_bitmaps(z, e) < 0) || size_cut(z, need, e) < 0)
		return -1;
	if (resize_drop_entries(z, align_up(z->size, geom_cluster_size(g)), e) < 0 ||
	    resize_drop_tables(z, old.l1_off, need, old.l1_nr, false, e) < 0 ||
	    l1_cut(z, &old, need, e) < 0 || tail_zero(z, e) < 0 ||
	    image_writer_finish(z->w, e) < 0 || txn_trim(z->w->txn, e) < 0)
		return -1;
	return file_cut(z, e);
}
