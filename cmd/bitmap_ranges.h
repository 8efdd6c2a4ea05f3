#pragma once
#include "ops/bitmap.h"

/* Reads ranges of a disk from a JSON file (`-`: from stdin), as `bitmap --dump --output=json` and
 * other programs print them: an array of objects with "start" and "length". *ranges is the
 * caller's, to be freed, in every case. */
int bitmap_ranges_load(const char *path, struct bitmap_range **ranges, size_t *nr, struct err *e);
