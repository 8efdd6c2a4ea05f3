#pragma once
#include "image/writer.h"
#include "ops/convert.h"

/* Copies of the bitmaps of a source's top layer, for --bitmaps. */

/* What can be refused before anything is written. */
int convert_bitmaps_check(const struct convert_options *o, struct err *e) MUST_CHECK;
/* The same for a target that exists, and its writer. */
int convert_bitmaps_fit(const struct convert_options *o, struct disk *target,
			struct image_writer *w, struct err *e) MUST_CHECK;
/* Adds them to the target, which is complete and closed. */
int convert_bitmaps(const struct convert_options *o, struct err *e) MUST_CHECK;
