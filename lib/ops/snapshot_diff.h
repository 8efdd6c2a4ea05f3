#pragma once
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/spec.h"

/* Guest bytes that a snapshot and the disk, or two snapshots, do not have in common. */
struct snapshot_range {
	uint64_t start, length; /* bytes, multiples of 512 */
};

/* Returns -1 with `e` set to stop. */
typedef int snapshot_range_fn(void *arg, const struct snapshot_range *r, struct err *e);

struct snapshot_diff {
	const struct spec *spec;
	const char *from;    /* an id, or else a name */
	const char *against; /* likewise; NULL: the disk as it is now */
	const struct listener *listener;
};

/* Hands out the ranges that differ in rising order, as long as can be. What lies behind the end of
 * the shorter one counts as zeros. Bytes are read only where the two lead to different clusters. */
int snapshot_diff(const struct snapshot_diff *d, snapshot_range_fn *row, void *arg,
		  const struct watch *w, struct err *e) MUST_CHECK;
