/* Writers keep enabled bitmaps up (9.4). While they write, these are in use, or else the header says
 * that all bitmaps are void; what becomes dirty is marked in memory, and image_writer_finish() stores
 * it behind all that was written. Who is killed in between leaves no bitmap that is false. */
#include "image/bitmaps_internal.h"
#include "image/writer_internal.h"

/* What marks may take in memory, all bitmaps together. Beyond that more is marked than was written:
 * that costs who uses the bitmap a little time. */
#define MARKS_MAX (UINT64_C(64) << 20)

/* The same for what they take that hold nothing yet. */
#define PAGES_MAX (UINT64_C(256) << 20)

static int load(struct image_writer *w, struct bitmap *b, uint64_t *used, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t need = sizeof *b->bits.pages *
			bitmap_table_entries(g->disk_size, b->entry.granularity_bits,
					     g->cluster_bits);

	if (need > PAGES_MAX - *used)
		return err_set(e, ERR_UNSUPPORTED, "all of them take too much memory");
	*used += need;
	if (b->shared)
		return err_set(e, ERR_CORRUPT,
			       "it leads to a cluster that may be somebody else's; run qcow2-check "
			       "-r all");
	return bitmap_load(&w->bitmaps, b, e);
}

/* One that we can't keep up has missed changes from now on. */
static int judge(struct image_writer *w, struct bitmap *b, uint64_t *used, struct err *e)
{
	struct err why = ERR_INIT;

	if (!(b->entry.flags & BITMAP_AUTO) || (b->entry.flags & BITMAP_IN_USE) ||
	    load(w, b, used, &why) == 0)
		return 0;
	if (why.code == ERR_NOMEM)
		return err_nomem(e);
	warn_to(w->listener, "'%s': a bitmap can't be kept up: %s", w->disk->name, why.text);
	b->entry.flags |= BITMAP_IN_USE;
	w->bitmaps.changed = true;
	return 0;
}

/* What is in use is not touched, and what does not record stays as it is. */
static bool records(const struct bitmap_set *s)
{
	for (size_t i = 0; i < s->nr; i++)
		if ((s->items[i].entry.flags & (BITMAP_AUTO | BITMAP_IN_USE)) == BITMAP_AUTO)
			return true;
	return false;
}

/* Loads them and takes hold of them, if that is possible. */
static int hold(struct image_writer *w, struct err *e)
{
	struct err why = ERR_INIT;
	uint64_t used = 0;

	if (bitmap_set_load(&w->bitmaps, w->img, &why) < 0) {
		bitmap_set_fini(&w->bitmaps);
		if (why.code == ERR_NOMEM)
			return err_nomem(e);
		warn_to(w->listener, "'%s': bitmaps can't be kept up: %s", w->disk->name, why.text);
		return 0;
	}
	if (records(&w->bitmaps) && bitmap_set_find_shared(&w->bitmaps, w, e) < 0)
		return -1;
	for (size_t i = 0; i < w->bitmaps.nr; i++)
		if (judge(w, &w->bitmaps.items[i], &used, e) < 0)
			return -1;
	w->marks = 0;
	w->tracks = true;
	return bitmap_set_hold(&w->bitmaps, w, e);
}

int writer_bitmaps_begin(struct image_writer *w, struct err *e)
{
	const struct header *h = &w->img->header;

	if (!(h->autoclear_features & AUTOCLEAR_BITMAPS))
		return 0;
	if (h->has_bitmaps_ext && hold(w, e) < 0)
		return -1;
	return w->bitmaps.held ? 0 : txn_autoclear(w->txn, AUTOCLEAR_BITMAPS, e);
}

/* Many small marks take a page each; a page of nothing but ones takes none. */
static int mark(struct image_writer *w, struct bitmap *b, uint64_t guest, uint64_t len,
		struct err *e)
{
	uint64_t before = b->bits.mem_nr;
	unsigned page = b->entry.granularity_bits + b->bits.page_bits + 3;

	if (w->marks > MARKS_MAX && page < 63) {
		uint64_t first = guest >> page << page, grain = UINT64_C(1) << page;

		len = MIN(align_up(guest + len, grain), w->disk->size) - first;
		guest = first;
	}
	if (bitmap_mark(&w->bitmaps, b, guest, len, e) < 0)
		return -1;
	w->marks += b->bits.mem_nr << b->bits.page_bits;
	w->marks -= before << b->bits.page_bits;
	return 0;
}

int writer_bitmaps_mark(struct image_writer *w, uint64_t guest, uint64_t len, struct err *e)
{
	if (!w->tracks || guest >= w->disk->size)
		return 0;
	len = MIN(len, w->disk->size - guest);
	for (size_t i = 0; i < w->bitmaps.nr; i++) {
		struct bitmap *b = &w->bitmaps.items[i];

		if (!(b->entry.flags & BITMAP_AUTO) || (b->entry.flags & BITMAP_IN_USE))
			continue;
		if (mark(w, b, guest, len, e) < 0)
			return -1;
	}
	return 0;
}

int writer_bitmaps_finish(struct image_writer *w, struct err *e)
{
	if (!w->tracks)
		return 0;
	if (w->bitmaps.held ? bitmap_set_let_go(&w->bitmaps, w, e) < 0
			    : bitmap_set_promise(&w->bitmaps, w, NULL, e) < 0)
		return err_ctx(e, "the disk is written, but its bitmaps could not be stored");
	/* Whoever writes on begins anew, with what is in the file now. */
	bitmap_set_fini(&w->bitmaps);
	w->img->bitmaps_loaded = false;
	w->tracks = w->begun = false;
	return 0;
}
