/* Bitmaps of a disk that changes its length (9.5). Their tables must fit the disk whenever they are
 * in force, so they are withdrawn while they are changed, and come back in the write that changes
 * the size. */
#include <inttypes.h>
#include <string.h>

#include "base/align.h"
#include "base/text.h"
#include "format/bitmap_entry.h"
#include "image/bitmaps.h"
#include "image/resize_internal.h"

/* Parts of a directory entry that change: table_off and table_nr (9.2). */
#define ENTRY_HEAD_BYTES 12

typedef int bitmap_fn(struct resize *z, uint64_t place, struct bitmap_entry *x, struct err *e);

static uint64_t entries_for(const struct resize *z, uint64_t size, const struct bitmap_entry *x)
{
	return bitmap_table_entries(size, x->granularity_bits, z->img->geom.cluster_bits);
}

/* Hands over each entry of the directory and its host offset. */
static int each_bitmap(struct resize *z, struct bytes directory, bitmap_fn *fn, struct err *e)
{
	const struct bitmaps_ext *ext = &z->img->header.bitmaps;
	struct rd r = rd_over(directory.p, directory.n);
	struct bitmap_entry x;
	char shown[64];

	for (uint32_t i = 0; i < ext->nr; i++) {
		uint64_t place = ext->directory_off + r.pos;

		if (bitmap_entry_decode(&r, &x, e) < 0)
			return err_ctx(e, "bitmap directory: entry %" PRIu32, i);
		if (fn(z, place, &x, e) < 0)
			return err_ctx(e, "bitmap '%s'",
				       text_escape(x.name.p, x.name.n, shown, sizeof shown));
	}
	return 0;
}

static int bitmap_check(struct resize *z, uint64_t place, struct bitmap_entry *x, struct err *e)
{
	const struct geom *g = &z->img->geom;
	uint64_t after = entries_for(z, z->size, x);

	if (x->flags & BITMAP_IN_USE)
		return err_set(e, ERR_UNSUPPORTED,
			       "it was not saved properly, and is inconsistent; bitmap --remove "
			       "takes it out of the way");
	if ((x->flags & ~BITMAP_FLAGS_KNOWN) ||
	    (x->extra.n && !(x->flags & BITMAP_EXTRA_COMPATIBLE)))
		return err_set(e, ERR_UNSUPPORTED, "it has properties that are not known here");
	if (geom_in_cluster(g, x->table_off) ||
	    !table_cache_reaches(z->img->tables, x->table_off) ||
	    x->table_nr != entries_for(z, z->old_size, x))
		return err_set(e, ERR_CORRUPT, "its table does not fit the disk; run check");
	if (after > BITMAP_TABLE_ENTRIES_MAX || after << g->cluster_bits > BITMAP_BYTES_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "it would become too large; a larger granularity makes it smaller");
	return 0;
}

/* What is changed where it is, or given up, must be nobody else's. */
static int own_check(struct resize *z, struct err *e)
{
	struct bitmap_set s;
	int ret = bitmap_set_load(&s, z->img, e);

	if (ret == 0)
		ret = bitmap_set_own(&s, z->w, z->watch, e);
	bitmap_set_fini(&s);
	return ret;
}

int resize_bitmaps_check(struct resize *z, struct err *e)
{
	struct bytes directory;

	if (image_bitmaps(z->img, &directory, e) < 0 ||
	    each_bitmap(z, directory, bitmap_check, e) < 0)
		return -1;
	return own_check(z, e);
}

static int table_cut(struct resize *z, const struct bitmap_entry *x, uint32_t nr, struct err *e)
{
	const struct geom *g = &z->img->geom;
	uint64_t size = geom_cluster_size(g), raw;
	uint64_t kept = align_up(nr * UINT64_C(8), size), had = x->table_nr * UINT64_C(8);

	for (uint32_t i = nr; i < x->table_nr; i++) {
		struct bitmap_table_entry t;

		if (resize_word_read(z, x->table_off + i * UINT64_C(8), &raw, e) < 0)
			return -1;
		t = bitmap_table_entry_decode(raw);
		if (resize_can_follow(z, &t) && txn_release(z->w->txn, t.data_off, size, 1, e) < 0)
			return -1;
	}
	return kept < had ? txn_release(z->w->txn, x->table_off + kept, had - kept, 1, e) : 0;
}

/* More entries, all of them 0: behind the others if their last cluster has room, else in a new
 * table. */
static int table_grow(struct resize *z, struct bitmap_entry *x, uint32_t nr, struct err *e)
{
	const struct geom *g = &z->img->geom;
	uint64_t had = x->table_nr * UINT64_C(8), clusters = geom_clusters(g, nr * UINT64_C(8));
	uint64_t off, raw;

	if (clusters == geom_clusters(g, had))
		return resize_zeros_edit(z, x->table_off + had, nr * UINT64_C(8) - had, e);
	if (txn_take_table(z->w->txn, TXN_BITMAP_TABLE, clusters, &off, e) < 0)
		return -1;
	for (uint64_t at = 0; at < had; at += 8)
		if (resize_word_read(z, x->table_off + at, &raw, e) < 0 ||
		    (raw && resize_word_write(z, off + at, raw, e) < 0))
			return -1;
	if (txn_release(z->w->txn, x->table_off, had, 1, e) < 0)
		return -1;
	x->table_off = off;
	return 0;
}

/* What is added is a change: a disk that was shorter in between reads as zeros where a backup, made
 * before that, holds something else. */
static int new_set(struct resize *z, const struct bitmap_entry *x, struct err *e)
{
	uint64_t first, end;

	if (z->size < z->old_size)
		return 0;
	bitmap_touched(z->old_size, z->size - z->old_size, x->granularity_bits, &first, &end);
	return resize_bits_set(z, x, first, end, e);
}

static int bitmap_change(struct resize *z, uint64_t place, struct bitmap_entry *x, struct err *e)
{
	uint64_t bits = div_up(MIN(z->size, z->old_size), UINT64_C(1) << x->granularity_bits);
	uint32_t nr = (uint32_t)entries_for(z, z->size, x);
	uint8_t head[ENTRY_HEAD_BYTES];

	if (resize_bits_cut(z, x, bits, e) < 0)
		return -1;
	if (nr != x->table_nr) {
		if (nr < x->table_nr ? table_cut(z, x, nr, e) < 0 : table_grow(z, x, nr, e) < 0)
			return -1;
		be64_put(head, x->table_off);
		be32_put(head + 8, nr);
		if (table_cache_edit(z->img->tables, place, head, sizeof head, e) < 0)
			return -1;
	}
	if ((x->flags & BITMAP_AUTO) && new_set(z, x, e) < 0)
		return -1;
	return image_writer_relax(z->w, e);
}

int resize_bitmaps(struct resize *z, struct err *e)
{
	struct bytes directory; /* to be had only while the bitmaps are in force */

	if (watch_stopped(z->watch, e) < 0 || image_bitmaps(z->img, &directory, e) < 0 ||
	    txn_autoclear(z->w->txn, AUTOCLEAR_BITMAPS, e) < 0 ||
	    each_bitmap(z, directory, bitmap_change, e) < 0)
		return -1;
	z->img->bitmaps_loaded = false; /* the copy is out of date */
	return 0;
}
