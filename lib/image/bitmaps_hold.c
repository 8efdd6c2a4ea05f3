/* Bitmaps of a disk that is being written to (9.4). While that lasts, those that record say in the
 * file that they are in use: who is killed leaves them for removal, and all others as they are. The
 * directory is changed where it is. Each step changes one kind of word, 4 or 8 bytes that lie in one
 * sector, and any mixture of old and new ones is true:
 *
 *	in-use flags are set        before the disk changes
 *	     -- flush, writes --
 *	tables are replaced         while their bitmaps are in use
 *	     -- flush --
 *	in-use flags are cleared    when all that was written, and all tables, are durable
 */
#include "base/bytes.h"
#include "image/bitmaps_internal.h"
#include "image/writer_internal.h"

/* Places in a directory entry (9.2). */
#define ENTRY_TABLE_OFF 0
#define ENTRY_FLAGS	12

/* Whether nobody else has the directory's clusters: only then is it changed where it is. */
static int directory_is_ours(struct image_writer *w, bool *ours, struct err *e)
{
	const struct geom *g = writer_geom(w);
	const struct bitmaps_ext *x = &w->img->header.bitmaps;
	uint64_t count = 1;

	for (uint64_t at = 0; count == 1 && at < x->directory_len; at += geom_cluster_size(g))
		if (txn_refcount(w->txn, x->directory_off + at, &count, e) < 0)
			return -1;
	*ours = count == 1;
	return 0;
}

static int flags_edit(struct image_writer *w, uint64_t place, uint32_t flags, struct err *e)
{
	uint8_t raw[4];

	be32_put(raw, flags);
	if (table_cache_edit(w->img->tables, place + ENTRY_FLAGS, raw, sizeof raw, e) < 0)
		return -1;
	return txn_is_full(w->txn) ? txn_commit(w->txn, e) : 0;
}

/* Flags of those that record, and of those that can't any more; durable on success. */
static int flags_store(struct bitmap_set *s, struct image_writer *w, uint32_t more, struct err *e)
{
	uint64_t place = w->img->header.bitmaps.directory_off;
	bool any = false;

	for (size_t i = 0; i < s->nr; i++) {
		const struct bitmap_entry *x = &s->items[i].entry;

		if (x->flags & BITMAP_AUTO) {
			any = true;
			if (flags_edit(w, place, x->flags | more, e) < 0)
				return -1;
		}
		place += bitmap_entry_len(x);
	}
	return any ? txn_commit(w->txn, e) : 0;
}

int bitmap_set_hold(struct bitmap_set *s, struct image_writer *w, struct err *e)
{
	bool ours;

	if (directory_is_ours(w, &ours, e) < 0)
		return -1;
	if (!ours)
		return 0;
	if (flags_store(s, w, BITMAP_IN_USE, e) < 0)
		return -1;
	s->held = true;
	return 0;
}

/* A changed bitmap gets its new table. */
static int table_switch(struct image_writer *w, struct bitmap *b, uint64_t place, struct err *e)
{
	struct bitmap_entry x = b->entry;
	uint8_t raw[8];

	if (bitmap_store(w, b, &x, NULL, e) < 0 || bitmap_release(w, &b->entry, &b->bits, e) < 0)
		return -1;
	be64_put(raw, x.table_off);
	b->entry.table_off = x.table_off;
	return table_cache_edit(w->img->tables, place + ENTRY_TABLE_OFF, raw, sizeof raw, e);
}

int bitmap_set_let_go(struct bitmap_set *s, struct image_writer *w, struct err *e)
{
	uint64_t place = w->img->header.bitmaps.directory_off;

	for (size_t i = 0; i < s->nr; i++) {
		struct bitmap *b = &s->items[i];

		if (b->changed && table_switch(w, b, place, e) < 0)
			return -1;
		place += bitmap_entry_len(&b->entry);
	}
	s->held = false;
	return txn_finish(w->txn, e) < 0 ? -1 : flags_store(s, w, 0, e);
}
