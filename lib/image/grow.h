#pragma once
#include "image/writer.h"

/* Makes the disk that w writes to longer: `size` bytes, a multiple of 512. What is added reads as
 * zeros, whatever was left behind the old end. The new length is durable before anything can be
 * written there; a crash leaves the old one or the new one. */
int image_grow(struct image_writer *w, uint64_t size, struct err *e) MUST_CHECK;
/* The same for a raw disk, or a layer of one, that was opened for writing. */
int disk_raw_grow(struct disk *d, uint64_t size, struct err *e) MUST_CHECK;
