#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/create.h"
#include "image/disk.h"

/* How large a new image would become. */
struct measure {
	uint64_t required;	  /* bytes that its file has after the copy */
	uint64_t fully_allocated; /* bytes once every guest byte was written */
	uint64_t bitmaps;	  /* bytes that copies of the source's bitmaps take, on top */
	bool has_bitmaps;	  /* source and target can have bitmaps at all */
};

/* What measure_new() and measure_copy() are asked about. */
struct measure_target {
	enum image_format format;     /* FORMAT_RAW or FORMAT_QCOW2 */
	struct create_options create; /* for qcow2; `size` is the size of the disk in any case */
};

/* An empty image. */
int measure_new(const struct measure_target *t, struct measure *m, struct err *e) MUST_CHECK;

/* A copy of what `d` reads as, chain included; t->create.size is taken from the disk. Where
 * the target is to have a backing file nobody knows yet how much it will share, and
 * all of it counts. */
int measure_copy(struct disk *d, const struct measure_target *t, const struct watch *w,
		 struct measure *m, struct err *e) MUST_CHECK;
