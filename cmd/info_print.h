#pragma once
#include "ops/info.h"
#include "out/emit.h"

struct info_style {
	bool limits;   /* access units */
	bool children; /* the block about the file below */
};

/* One layer, as an object. `name`: what it is called; the file below goes by layer->path. Snapshots are
 * read again meanwhile: an error means that the image has changed, or a failing medium. */
int info_print(struct emit *out, const struct info_layer *layer, const char *name,
	       const struct info_style *style, struct err *e) MUST_CHECK;
