#pragma once
#include "base/watch.h"
#include "image/image.h"

/* What a snapshot takes, tables included. */
struct snapshot_size {
	uint64_t exclusive; /* bytes that would be free if it were deleted */
	uint64_t shared;    /* bytes that the disk or other snapshots refer to, too */
};

/* For all image_snapshots(), which have been loaded, at once. This reads all tables of the disk and
 * of all snapshots, each twice. ERR_CORRUPT when one of them cannot be followed. */
int image_snapshot_sizes(struct image *img, struct snapshot_size *sizes,
			 const struct watch *watch, struct err *e) MUST_CHECK;
