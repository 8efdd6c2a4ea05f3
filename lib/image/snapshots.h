#pragma once
#include <stdint.h>

#include "base/watch.h"
#include "image/writer.h"

/* Internal snapshots of an image that is open for writing. Each of these is one change: it is
 * durable when it returns 0, and a crash at any point leaves every snapshot and the disk as they
 * were or as they were to become. What cannot be done is refused before anything is written. Data
 * clusters are not read.
 *
 * Afterwards the writer can only be freed, and the disk is to be opened again. */
struct snapshot_new {
	const char *name;
	uint32_t date_sec, date_nsec; /* since the Epoch */
};

/* The new id is the largest number that an id begins with, plus one. ERR_INVALID when there are
 * 65536 already, or a refcount would not fit into its width; ERR_UNSUPPORTED with an external data
 * file. */
int image_snapshot_create(struct image_writer *w, const struct snapshot_new *n,
			  const struct watch *watch, struct err *e) MUST_CHECK;
/* Deletes snapshots idx[0..nr-1] of image_snapshots() (rising, each once) in one pass. */
int image_snapshot_delete(struct image_writer *w, const uint32_t *idx, uint32_t nr,
			  const struct watch *watch, struct err *e) MUST_CHECK;
/* Makes the disk what the snapshot was, its size included. ERR_UNSUPPORTED while there are
 * persistent bitmaps. */
int image_snapshot_apply(struct image_writer *w, uint32_t idx, const struct watch *watch,
			 struct err *e) MUST_CHECK;
