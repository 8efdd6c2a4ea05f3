#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/create.h"

/* Making a new, empty image file. Two steps, so that what is about to be made can be told
 * before anything is touched. */
struct new_image {
	const char *path;
	enum image_format format;      /* raw: of the options, size and preallocation count */
	struct create_options options;
	bool has_size;		       /* false: the size of the backing file is taken */
	bool backing_unchecked;	       /* do not open the backing file */
	bool exclusive;		       /* the file must not exist yet */
	uint64_t backing_size;	       /* found: the bytes of the backing file's disk; 0: not looked at */
	const struct listener *listener;
	const struct watch *watch;
};

/* Looks at the backing file, unless told not to: it must open, with its chain, and neither
 * the new file nor its data file may be a file of that. Finds the size, if it was not given: options.size is then set. */
int new_image_prepare(struct new_image *n, struct err *e) MUST_CHECK;

/* Checks everything that can be checked before the file is touched. */
int new_image_check(struct new_image *n, struct err *e) MUST_CHECK;

/* Checks it, then creates or truncates the file and fills it. On
 * failure the text names the file, and one that did not exist before is gone again, its data file
 * too. n->watch stops preallocation, and
 * n->options.encryption.watch the derivation of keys. */
int new_image_make(const struct new_image *n, struct err *e) MUST_CHECK;

/* The format that the backing file `name` of a new image at `path` seems to have, by its
 * content; FORMAT_PROBE when it cannot be opened or is of a kind that we don't do. */
enum image_format new_image_probe_backing(const char *path, const char *name);
