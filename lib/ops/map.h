#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/disk.h"

/* Where the bytes of a guest range are, in the terms of the map command. */
struct map_row {
	uint64_t start;	 /* first byte, as the guest counts */
	uint64_t length; /* bytes; never 0 */
	uint64_t offset; /* first byte in `file`, if has_offset */
	const char *file; /* of the layer that answers; lives as long as the disk */
	uint16_t depth;	 /* 0 = the top layer, 1 = its backing file, ... */
	bool present;	 /* some layer says what is there */
	bool zero;	 /* known to read as zeros */
	bool data;	 /* backed by data clusters, or by data of a raw file */
	bool packed;	 /* compressed */
	bool has_offset; /* readable at a plain offset */
	bool encrypted;	 /* data that is stored encrypted */
};

/* Returns -1 with `e` set to stop. */
typedef int map_row_fn(void *arg, const struct map_row *row, struct err *e);

/* Hands out the rows of guest bytes start .. start+len-1 in rising order, as long as can be:
 * neighbours differ in a flag, or their offsets do not continue. Whatever lies past the end
 * of the disk is left out; a range that is all there has no rows. */
int map_disk(struct disk *d, uint64_t start, uint64_t len, map_row_fn *row, void *arg,
	     const struct watch *w, struct err *e) MUST_CHECK;
