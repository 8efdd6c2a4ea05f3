#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/spec.h"
#include "ops/amend_keys.h"

/* Changes what an image is: its version, how wide refcounts are, and so on. */

struct amend_options {
	/* what to change; has_*: it was asked for */
	bool has_version, has_lazy, has_refcount_order, has_size, has_data_file_raw;
	unsigned version; /* 2 or 3 */
	bool lazy;
	unsigned refcount_order; /* 0..6 */
	uint64_t size;		 /* bytes */
	bool data_file_raw;
	const char *data_file;			   /* "": forget the name; NULL: not asked for */
	const char *backing_file, *backing_format; /* as they are, or NULL */
	const struct key_change *keys; /* but for its force and unlock; NULL: not asked for */

	bool force; /* what takes something away is meant */
	unsigned write_flags;
	const struct listener *listener;
	const struct watch *watch;
};

/* Looks at everything that was asked for before it changes anything, as far as that can be known
 * beforehand; then makes the changes one after the other, each of them whole or not at all.
 * ERR_INVALID or ERR_UNSUPPORTED: nothing was changed, or, where the text says so, a part. */
int amend(const struct spec *s, const struct amend_options *o, struct err *e) MUST_CHECK;
