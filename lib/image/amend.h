#pragma once
#include <stdbool.h>

#include "base/watch.h"
#include "image/writer.h"

/* Changes of what an image is, not of what its disk reads as. Each is durable when it returns 0, and
 * the writer is good for nothing but image_writer_free() afterwards. A crash leaves the image as it
 * was or as it is to be; space may be leaked. */

/* Lazy refcounts (version 3): the compatible bit. */
int image_amend_lazy(struct image_writer *w, bool lazy, struct err *e) MUST_CHECK;
/* The name of the external data file, stored as it is; "": none is stored. ERR_INVALID for an image
 * without one. */
int image_amend_data_file(struct image_writer *w, const char *name, struct err *e) MUST_CHECK;
/* Whether the header has room for that name. */
int image_amend_data_file_check(const struct image *img, const char *name,
				struct err *e) MUST_CHECK;
/* The data file is not promised to be a raw image by itself any more. */
int image_amend_not_raw(struct image_writer *w, struct err *e) MUST_CHECK;

/* Refcounts of 1 << order bits (0..6; version 3): a whole new structure, and the header switched to
 * it. ERR_INVALID, and nothing was changed, when a count would not fit. */
int image_amend_refcount_order(struct image_writer *w, unsigned order, const struct watch *watch,
			       struct err *e) MUST_CHECK;
/* Whether that would be possible, of an image that may be version 2 as yet. */
int image_amend_refcount_check(struct image_writer *w, unsigned order, const struct watch *watch,
			       struct err *e) MUST_CHECK;

/* Version 2 becomes 3. ERR_CORRUPT, and nothing was changed, when an L2 entry has the flag of version 3
 * for zeros already, or a pointer can't be followed. */
int image_amend_upgrade(struct image_writer *w, const struct watch *watch,
			struct err *e) MUST_CHECK;
/* What will have changed by the time that version 3 becomes 2. */
struct amend_before_v2 {
	uint64_t size;		 /* bytes of the disk */
	unsigned refcount_order; /* 0..6 */
	bool bitmaps_go;	 /* those are dropped */
};
/* Whether version 3 could become 2 then. ERR_INVALID: no, and why: something is in use that version 2
 * does not know. */
int image_amend_downgrade_check(struct image_writer *w, const struct amend_before_v2 *b,
				const struct watch *watch, struct err *e) MUST_CHECK;
/* Version 3 becomes 2. Clusters that are marked as zeros become zeros in the host cluster that they
 * keep; where they have none, or share it, clusters that are not there or, where a backing file would
 * show, clusters of zeros, which share a host cluster (with legacy AES: have one each). */
int image_amend_downgrade(struct image_writer *w, const struct watch *watch,
			  struct err *e) MUST_CHECK;
