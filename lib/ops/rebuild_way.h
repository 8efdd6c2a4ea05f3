#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "format/header.h"

/* A header that opens, and with one bit of it otherwise would be read quite differently. */
enum header_way {
	HEADER_WAY_EXTENDED_L2,
	HEADER_WAY_DATA_FILE,
	HEADER_WAY_VERSION,
	HEADER_WAYS
};

/* What is otherwise, in words. */
extern const char *const header_way_text[HEADER_WAYS];

/* The header that way, in `bytes`, which *other points into; false: that is none, or it is that already.
 * `was`: the first cluster, of `size` bytes, that h was decoded from. */
bool header_way(const struct header *h, const uint8_t *was, size_t size, unsigned way, uint8_t *bytes,
		struct header *other);
