#pragma once
#include "image/bitmaps.h"
#include "out/emit.h"

/* What `bitmap` shows. */

/* All bitmaps, with how much of the disk is dirty where that is known. */
int bitmap_list_print(struct emit *out, struct bitmap_set *s, struct err *e);
/* The dirty stretches of one. */
int bitmap_dump_print(struct emit *out, struct bitmap_set *s, struct bitmap *b, struct err *e);
