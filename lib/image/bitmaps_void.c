/* Void bitmaps (9.4): the disk was changed without them. Their directory still tells their names and
 * granularities, if nobody has its clusters by now; nothing else that it says is believed. Tables and
 * data may be free, or somebody's, so they are left to check -r leaks. */
#include "image/bitmaps_internal.h"
#include "image/writer_internal.h"

int bitmap_set_adopt(struct bitmap_set *s, struct err *e)
{
	struct bytes directory;

	if (!s->is_void || s->adopted)
		return 0;
	if (image_bitmaps_left(s->img, &directory, e) < 0 ||
	    bitmap_entries_load(s, directory, e) < 0) {
		s->nr = 0;
		return err_ctx(e, "bitmap directory");
	}
	for (size_t i = 0; i < s->nr; i++) {
		struct bitmap *b = &s->items[i];

		b->entry.flags |= BITMAP_IN_USE;
		b->stored = false;
		b->lost = true;
	}
	s->adopted = true;
	return 0;
}

/* A cluster of it that is free was given up, and one with several owners is not the directory's. */
int bitmap_set_revive(struct bitmap_set *s, struct image_writer *w, struct err *e)
{
	const struct bitmaps_ext *x = &w->img->header.bitmaps;
	uint64_t size = geom_cluster_size(writer_geom(w)), count;

	for (uint64_t at = 0; s->is_void && at < x->directory_len; at += size) {
		if (txn_refcount(w->txn, x->directory_off + at, &count, e) < 0)
			return -1;
		if (count != 1 || txn_is_metadata(w->txn, x->directory_off + at, 1))
			return err_set(e, ERR_CORRUPT,
				       "bitmap directory: its space was given to others");
	}
	return bitmap_set_adopt(s, e);
}

int bitmap_store_lost(struct image_writer *w, struct bitmap_entry *x, struct err *e)
{
	static const uint8_t nothing[SECTOR_SIZE];

	x->table_nr = 1;
	if (txn_take_all(w->txn, 1, &x->table_off, e) < 0)
		return -1;
	return file_write_at(w->img->file, x->table_off, nothing, sizeof nothing, e);
}
