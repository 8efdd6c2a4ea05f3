#pragma once
#include "image/create.h"
#include "image/disk.h"

/* Changes the length of a disk whose top layer was opened with DISK_WRITE. What is cut off is gone;
 * what is added reads as zeros, whatever a longer backing file, a cluster that was cut in two or
 * saved machine state would show there. A crash leaves the old size or the new one, and where the image
 * has bitmaps perhaps void ones: from where that begins nothing that is asked to stop is listened to. */

struct resize_options {
	uint64_t size; /* bytes, > 0 */
	enum preallocation preallocation; /* of what is added */
};

/* The top layer is an image. Snapshots keep their sizes, bitmaps follow the disk. ERR_INVALID or
 * ERR_UNSUPPORTED, and nothing was changed, for sizes that the format does not allow, snapshots
 * or bitmaps that would not stand it, and preallocation without growth. */
int image_resize(struct disk *d, const struct resize_options *o, const struct listener *l,
		 const struct watch *watch, struct err *e) MUST_CHECK;
/* Whether that would be refused. `w`: a writer of the top layer, which is left as it is. upgraded: it
 * will be version 3 by then. */
struct image_writer;
int image_resize_check(struct disk *d, const struct resize_options *o, struct image_writer *w,
		       bool upgraded, struct err *e) MUST_CHECK;
/* The top layer is raw: the file itself, any size. */
int raw_resize(struct disk *d, const struct resize_options *o, const struct watch *watch,
	       struct err *e) MUST_CHECK;
