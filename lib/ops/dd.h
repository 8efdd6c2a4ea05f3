#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "ops/convert.h"

/* Copies a window of a disk into a new image, counted in blocks. */
struct dd_options {
	struct disk *source;	  /* borrowed */
	uint64_t block;		  /* bytes, at least 1 */
	uint64_t skip;		  /* blocks that are left out at the beginning */
	uint64_t count;		  /* where the window ends, in blocks from the beginning of the
				   * source, not of the window; UINT64_MAX: at its end */
	const char *target;	  /* path */
	enum image_format format; /* of the target */
	const struct watch *watch;
	const struct listener *listener;
};

/* *skipped_all: the window begins behind the place where it ends, or behind the end of the
 * disk; the target is made all the same, and is empty. */
int dd_copy(const struct dd_options *o, bool *skipped_all, struct err *e) MUST_CHECK;
