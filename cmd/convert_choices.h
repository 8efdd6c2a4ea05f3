#pragma once
#include "base/err.h"
#include "cmd/creation.h"
#include "ops/convert.h"

/* What the command line of convert says, word by word; NULL and 0: nothing. */
struct convert_choices {
	const char *source_cache, *target_cache, *snapshot, *format, *backing,
		*backing_format;
	const char *sparse, *rate, *parallel, *level;
	const char **lists;
	int compress, no_create, target_is_zero, target_image_opts, salvage, out_of_order,
		offload;
	int bitmaps, skip_broken_bitmaps;
	const char *bitmap;
};

/* Refuses what does not go together, before anything is opened. `o` holds the sources' number, the
 * target's format and what it is to be made like. */
int convert_choices_check(const struct convert_choices *c, const struct convert_options *o,
			  struct creation *keys, struct err *e) MUST_CHECK;
