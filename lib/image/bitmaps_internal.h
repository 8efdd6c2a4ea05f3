#pragma once
#include "image/bitmaps.h"
#include "image/internal.h"

/* ERR_CORRUPT when the table does not lie in the file, or is larger than any reader would load. */
int bitmap_table_check(const struct image *img, const struct bitmap_entry *b, struct err *e);
/* Calls `visit` for every entry of a bitmap's table, which was checked; a buffer at a time. */
int bitmap_table_walk(struct image *img, const struct bitmap_entry *b,
		      int (*visit)(void *arg, uint64_t idx, uint64_t raw, struct err *e),
		      void *arg, struct err *e);
