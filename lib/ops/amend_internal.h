#pragma once
#include "image/disk.h"
#include "ops/amend.h"

/* How the image is opened for changes of its metadata alone. */
struct disk_options amend_disk_options(const struct spec *s, const struct amend_options *o);
/* The change of key slots that was asked for, complete. */
struct key_change amend_key_change(const struct spec *s, const struct amend_options *o);

/* What amend_check() found. */
struct amend_found {
	bool bitmaps; /* the image has some */
};
/* Looks at all that is asked for, and at the image, as it will be when each change comes: what is
 * refused is refused before the first of them. `watch`: of the looking. */
int amend_check(const struct spec *s, const struct amend_options *o, const struct watch *watch,
		struct amend_found *found, struct err *e) MUST_CHECK;
/* Whether that takes long. */
bool amend_check_is_long(const struct amend_options *o);
