/* Bitmaps of a disk that changes its length (9.5). Their tables must fit the disk whenever they are
 * in force, so they are withdrawn while they are changed, and come back in the write that changes
 * the size. */
#include <inttypes.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/text.h"
#include "format/bitmap_entry.h"
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

int resize_bitmaps_check(struct resize *z, struct err *e)
{
	struct bytes directory;

	if (image_bitmaps(z->img, &directory, e) < 0)
		return -1;
	return each_bitmap(z, directory, bitmap_check, e);
}

static uint64_t slice_size(const struct resize *z)
{
	return UINT64_C(1) << table_cache_slice_bits(z->img->tables);
}

/* n bytes of zeros, edited only where there is anything else. */
static int zeros_edit(struct resize *z, uint64_t off, uint64_t len, struct err *e)
{
	static const uint8_t zeros[4096];
	uint64_t n;

	for (uint64_t end = off + len; off < end; off += n) {
		const struct table_slice *s;
		uint64_t in = off & (slice_size(z) - 1);
		bool zero;

		n = MIN(MIN(end - off, slice_size(z) - in), sizeof zeros);
		if (table_cache_get(z->img->tables, off - in, &s, e) < 0)
			return -1;
		zero = bytes_are_zero(s->bytes + in, (size_t)n);
		table_cache_put(z->img->tables, s);
		if (!zero && table_cache_edit(z->img->tables, off, zeros, (size_t)n, e) < 0)
			return -1;
	}
	return 0;
}

static int word_read(struct resize *z, uint64_t off, uint64_t *raw, struct err *e)
{
	const struct table_slice *s;
	uint64_t in = off & (slice_size(z) - 1);

	if (table_cache_get(z->img->tables, off - in, &s, e) < 0)
		return -1;
	*raw = be64_get(s->bytes + in);
	table_cache_put(z->img->tables, s);
	return 0;
}

static int word_write(struct resize *z, uint64_t off, uint64_t raw, struct err *e)
{
	uint8_t bytes[8];

	be64_put(bytes, raw);
	return table_cache_edit(z->img->tables, off, bytes, sizeof bytes, e);
}

/* "All ones" for a cluster that the disk ends in becomes real ones: those that are added are 0. */
static int ones_make(struct resize *z, uint64_t entry_off, uint64_t *data_off, struct err *e)
{
	uint8_t ones[512];

	memset(ones, 0xff, sizeof ones);
	if (txn_take_table(z->w->txn, TXN_BITMAP_TABLE, 1, data_off, e) < 0)
		return -1;
	for (uint64_t at = 0; at < geom_cluster_size(&z->img->geom); at += sizeof ones)
		if (table_cache_edit(z->img->tables, *data_off + at, ones, sizeof ones, e) < 0)
			return -1;
	return word_write(z, entry_off, *data_off, e);
}

static bool can_follow(const struct resize *z, const struct bitmap_table_entry *x)
{
	return x->data_off && !geom_in_cluster(&z->img->geom, x->data_off) &&
	       table_cache_reaches(z->img->tables, x->data_off);
}

/* Bits behind the first `bits`, in the cluster that these end in. */
static int tail_clear(struct resize *z, const struct bitmap_entry *x, uint64_t bits, struct err *e)
{
	unsigned cluster_bits = z->img->geom.cluster_bits;
	uint64_t in = bits & ((UINT64_C(8) << cluster_bits) - 1), raw, word;
	uint64_t entry_off = x->table_off + (bits >> (cluster_bits + 3)) * 8;
	struct bitmap_table_entry t;

	if (!in)
		return 0;
	if (word_read(z, entry_off, &raw, e) < 0)
		return -1;
	t = bitmap_table_entry_decode(raw);
	if (!t.data_off && t.all_ones && ones_make(z, entry_off, &t.data_off, e) < 0)
		return -1;
	if (!can_follow(z, &t))
		return 0;
	/* Bits count from the lowest of each byte, words from the highest byte. */
	uint64_t off = t.data_off + in / 64 * 8, kept = in % 64;

	if (kept) {
		uint64_t mask = (UINT64_C(1) << kept) - 1;

		if (word_read(z, off, &word, e) < 0)
			return -1;
		mask = __builtin_bswap64(mask);
		if ((word & ~mask) && word_write(z, off, word & mask, e) < 0)
			return -1;
		off += 8;
	}
	return zeros_edit(z, off, t.data_off + (UINT64_C(1) << cluster_bits) - off, e);
}

static int table_cut(struct resize *z, const struct bitmap_entry *x, uint32_t nr, struct err *e)
{
	const struct geom *g = &z->img->geom;
	uint64_t size = geom_cluster_size(g), raw;
	uint64_t kept = align_up(nr * UINT64_C(8), size), had = x->table_nr * UINT64_C(8);

	for (uint32_t i = nr; i < x->table_nr; i++) {
		struct bitmap_table_entry t;

		if (word_read(z, x->table_off + i * UINT64_C(8), &raw, e) < 0)
			return -1;
		t = bitmap_table_entry_decode(raw);
		if (can_follow(z, &t) && txn_release(z->w->txn, t.data_off, size, 1, e) < 0)
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
		return zeros_edit(z, x->table_off + had, nr * UINT64_C(8) - had, e);
	if (txn_take_table(z->w->txn, TXN_BITMAP_TABLE, clusters, &off, e) < 0)
		return -1;
	for (uint64_t at = 0; at < had; at += 8)
		if (word_read(z, x->table_off + at, &raw, e) < 0 ||
		    (raw && word_write(z, off + at, raw, e) < 0))
			return -1;
	if (txn_release(z->w->txn, x->table_off, had, 1, e) < 0)
		return -1;
	x->table_off = off;
	return 0;
}

static int bitmap_change(struct resize *z, uint64_t place, struct bitmap_entry *x, struct err *e)
{
	uint64_t bits = div_up(MIN(z->size, z->old_size), UINT64_C(1) << x->granularity_bits);
	uint32_t nr = (uint32_t)entries_for(z, z->size, x);
	uint8_t head[ENTRY_HEAD_BYTES];

	if (tail_clear(z, x, bits, e) < 0)
		return -1;
	if (nr != x->table_nr) {
		if (nr < x->table_nr ? table_cut(z, x, nr, e) < 0 : table_grow(z, x, nr, e) < 0)
			return -1;
		be64_put(head, x->table_off);
		be32_put(head + 8, nr);
		if (table_cache_edit(z->img->tables, place, head, sizeof head, e) < 0)
			return -1;
	}
	return image_writer_relax(z->w, e);
}

int resize_bitmaps(struct resize *z, struct err *e)
{
	struct bytes directory; /* to be had only while the bitmaps are in force */

	if (image_bitmaps(z->img, &directory, e) < 0 ||
	    txn_autoclear(z->w->txn, AUTOCLEAR_BITMAPS, e) < 0 ||
	    each_bitmap(z, directory, bitmap_change, e) < 0)
		return -1;
	z->img->bitmaps_loaded = false; /* the copy is out of date */
	return 0;
}
