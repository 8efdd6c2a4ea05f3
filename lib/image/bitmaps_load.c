/* Bitmaps as they are stored: the directory is read at once, the bits of a bitmap when they
 * are asked for. */
#include "image/bitmaps_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/vec.h"

int bitmap_entries_load(struct bitmap_set *s, struct bytes directory, struct err *e)
{
	uint32_t nr = image_header(s->img)->bitmaps.nr;
	struct rd r = rd_over(directory.p, directory.n);

	while (s->nr < nr) {
		struct bitmap_entry x;

		if (bitmap_entry_decode(&r, &x, e) < 0)
			return -1;
		if (!vec_grow(&s->items, s->nr, &s->room))
			return err_nomem(e);
		s->items[s->nr++] = (struct bitmap) { .entry = x, .stored = true };
	}
	return rd_left(&r) ? err_set(e, ERR_CORRUPT, "it is longer than its entries") : 0;
}

/* Tables may not have the same bytes in the file, or a small file could keep us busy for
 * ever. */
static int tables_fit(const struct bitmap_set *s, struct err *e)
{
	const struct geom *g = bitmap_set_geom(s);
	uint64_t room = geom_clusters(g, file_size(image_file(s->img)));

	for (size_t i = 0; i < s->nr; i++) {
		const struct bitmap_entry *x = &s->items[i].entry;
		uint64_t nr = geom_clusters(g, x->table_nr * UINT64_C(8));
		struct err ignored = ERR_INIT;

		if (bitmap_table_check(s->img, x, &ignored) < 0)
			continue; /* it is not read */
		if (nr > room)
			return err_set(e, ERR_CORRUPT,
				       "its tables are larger than the file");
		room -= nr;
	}
	return 0;
}

int bitmap_set_load(struct bitmap_set *s, struct image *img, struct err *e)
{
	const struct header *h = image_header(img);
	struct bytes directory;

	*s = (struct bitmap_set) { .img = img };
	s->is_void = h->has_bitmaps_ext && !(h->autoclear_features & AUTOCLEAR_BITMAPS);
	if (image_bitmaps(img, &directory, e) == 0) {
		if (!directory.n ||
		    (bitmap_entries_load(s, directory, e) == 0 && tables_fit(s, e) == 0))
			return 0;
		err_ctx(e, "bitmap directory");
	}
	s->nr = 0;
	s->is_void = true;
	return -1;
}

void bitmap_set_fini(struct bitmap_set *s)
{
	for (size_t i = 0; i < s->nr; i++)
		bits_fini(&s->items[i].bits);
	free(s->items);
	free(s->gone);
	*s = (struct bitmap_set) { 0 };
}

int bitmap_bits_new(struct bitmap_set *s, struct bitmap *b, struct bits *bits,
		    struct err *e)
{
	const struct geom *g = bitmap_set_geom(s);

	return bits_init(bits, image_file(s->img),
			 bitmap_bits(g->disk_size, b->entry.granularity_bits),
			 g->cluster_bits, e);
}

static int table_check(struct bitmap_set *s, const struct bitmap *b, struct err *e)
{
	const struct geom *g = bitmap_set_geom(s);
	uint64_t need = bitmap_table_entries(g->disk_size, b->entry.granularity_bits,
					     g->cluster_bits);

	if (b->entry.table_nr != need)
		return err_set(e, ERR_CORRUPT,
			       "its table has %" PRIu32 " entries; the disk needs %" PRIu64,
			       b->entry.table_nr, need);
	return bitmap_fits(g->disk_size, b->entry.granularity_bits, g->cluster_bits)
		       ? 0
		       : err_set(e, ERR_CORRUPT, "it holds more than 512 MiB");
}

static int page_take(void *arg, uint64_t idx, uint64_t raw, struct err *e)
{
	struct bits *bits = arg;
	struct bitmap_table_entry x = bitmap_table_entry_decode(raw);
	uint64_t size = UINT64_C(1) << bits->page_bits;

	if (x.reserved || (x.all_ones && x.data_off) || x.data_off % size ||
	    x.data_off >= file_size(bits->file))
		return err_set(e, ERR_CORRUPT,
			       "entry %" PRIu64 " of its table is broken, %#" PRIx64, idx,
			       raw);
	bits->pages[idx].stored = x.data_off   ? x.data_off
				  : x.all_ones ? BITS_ONES
					       : BITS_ZEROS;
	return 0;
}

int bitmap_load(struct bitmap_set *s, struct bitmap *b, struct err *e)
{
	struct bits bits = { 0 };

	if (bitmap_usable(b, e) < 0)
		return -1;
	if (b->loaded)
		return 0;
	if (bitmap_table_check(s->img, &b->entry, e) < 0 || table_check(s, b, e) < 0 ||
	    bitmap_bits_new(s, b, &bits, e) < 0)
		return -1;
	if (bitmap_table_walk(s->img, &b->entry, page_take, &bits, e) < 0) {
		bits_fini(&bits);
		return -1;
	}
	b->bits = bits;
	b->loaded = true;
	return 0;
}

void bitmap_unload(struct bitmap *b)
{
	if (!b->loaded || b->changed)
		return;
	bits_fini(&b->bits);
	b->loaded = false;
}
