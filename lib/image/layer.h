#pragma once
#include "image/internal.h"

/* What was opened so far, to notice a chain that bites its tail. */
struct chain {
	const struct disk_options *options;
	struct bytes secret; /* of layers that have none of their own */
	struct disk *top;
	unsigned layers;
	/* What the header of the layer in front says of the next one; FORMAT_PROBE: nothing. */
	enum image_format stored;
};

/* Opens the layer that `s` describes as number c->layers, and counts it. The caller links
 * it to the layer before. NULL: error; ERR_CORRUPT for a file that is part of the chain
 * already, and for more than CHAIN_DEPTH_MAX layers. disk_close() frees it. */
struct disk *layer_open(struct chain *c, const struct spec *s, struct err *e);
