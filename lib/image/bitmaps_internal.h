#pragma once
#include "image/bitmaps.h"
#include "image/internal.h"

static inline const struct geom *bitmap_set_geom(const struct bitmap_set *s)
{
	return image_geom(s->img);
}

/* Bits of the size that b needs, all of them 0. bits_fini() frees them. */
int bitmap_bits_new(struct bitmap_set *s, struct bitmap *b, struct bits *bits, struct err *e);

/* Entries of the directory's bytes, as the extension counts them. */
int bitmap_entries_load(struct bitmap_set *s, struct bytes directory, struct err *e);

/* ERR_CORRUPT when the table does not lie in the file, or is larger than any reader would load. */
int bitmap_table_check(const struct image *img, const struct bitmap_entry *b, struct err *e);
/* Calls `visit` for every entry of a bitmap's table, which was checked; a buffer at a time. */
int bitmap_table_walk(struct image *img, const struct bitmap_entry *b,
		      int (*visit)(void *arg, uint64_t idx, uint64_t raw, struct err *e),
		      void *arg, struct err *e);

struct image_writer;
/* The same question without the refusal: those that have such a cluster are marked as `shared`. */
int bitmap_set_find_shared(struct bitmap_set *s, struct image_writer *w, struct err *e) MUST_CHECK;

/* Writes pages that were changed and a table, all to new clusters; *x then leads there. */
int bitmap_store(struct image_writer *w, struct bitmap *b, struct bitmap_entry *x,
		 const struct watch *watch, struct err *e);
/* Releases what the entry leads to in the file, but for the pages that are the same in `kept` (may be
 * NULL). What is not counted, or somebody else's, stays: a leak at worst. */
int bitmap_release(struct image_writer *w, const struct bitmap_entry *x, const struct bits *kept,
		   struct err *e);

/* A table that says nothing, for one whose own can't be believed. */
int bitmap_store_lost(struct image_writer *w, struct bitmap_entry *x, struct err *e);

/* Before the disk changes: bitmaps that record are marked as in use, durably. s->held: whether that
 * could be done; if not, they are to be withdrawn. What is in the set goes on as if nothing was. */
int bitmap_set_hold(struct bitmap_set *s, struct image_writer *w, struct err *e) MUST_CHECK;
/* When all that was written is durable: stores what was marked, and then that nobody uses them. The
 * set can only be freed afterwards. */
int bitmap_set_let_go(struct bitmap_set *s, struct image_writer *w, struct err *e) MUST_CHECK;
