#pragma once
#include "image/resize.h"
#include "image/spec.h"

/* The size of a disk as a person asks for it: this many bytes, or more or fewer than now. */
enum size_how { SIZE_SET, SIZE_ADD, SIZE_SUBTRACT };

struct size_change {
	enum size_how how;
	uint64_t bytes;
};

/* Opens the image for the change. */
struct disk *resize_open(const struct spec *s, const struct listener *l, struct err *e);
/* What the size of the disk is to become. ERR_INVALID for nothing at all, and for more than can be
 * counted. */
int resize_target(const struct disk *d, const struct size_change *by, uint64_t *size,
		  struct err *e) MUST_CHECK;
/* Changes the size; durable when it returns. */
int resize_disk(struct disk *d, const struct resize_options *o, const struct listener *l,
		const struct watch *watch, struct err *e) MUST_CHECK;
