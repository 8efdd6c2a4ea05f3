#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/watch.h"
#include "image/spec.h"
#include "image/writer.h"

/* Changing persistent bitmaps. */
enum bitmap_action {
	BITMAP_ADD = 1,
	BITMAP_REMOVE,
	BITMAP_CLEAR,
	BITMAP_ENABLE,
	BITMAP_DISABLE,
	BITMAP_MERGE,	/* what is dirty in `source` becomes dirty here */
	BITMAP_AS_FULL, /* everything is dirty; one that was in use is whole again */
	BITMAP_IMPORT,	/* `ranges` become dirty */
};

struct bitmap_range {
	uint64_t start, len; /* guest bytes */
};

struct bitmap_step {
	enum bitmap_action action;
	const char *source;
	const struct bitmap_range *ranges;
	size_t ranges_nr;
};

struct bitmap_change {
	const struct spec *spec;   /* the image */
	const struct spec *source; /* where `source` of a step is; NULL: in the image itself */
	const char *name;	   /* of the bitmap that all steps are about */
	const struct bitmap_step *steps;
	size_t steps_nr;
	uint64_t granularity; /* of a new one, in bytes; 0: whatever fits the cluster size */
	const struct watch *watch;
	const struct listener *listener;
};

/* All steps in their order, or nothing: the image is written to when all of them have succeeded in
 * memory. Messages of a step begin "Operation OP on bitmap NAME failed: ". */
int bitmap_change(const struct bitmap_change *c, struct err *e) MUST_CHECK;
/* Removes all bitmaps, of images in which they are void or can't be read, too. Of `c` the image,
 * watch and listener count. */
int bitmap_change_remove_all(const struct bitmap_change *c, struct err *e) MUST_CHECK;
/* Whether that could be done, of an image whose bitmaps go last. */
int bitmap_check_remove_all(struct image *img, struct image_writer *w, const struct watch *watch,
			    struct err *e) MUST_CHECK;
