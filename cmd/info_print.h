#pragma once
#include "ops/info.h"
#include "out/emit.h"

struct info_style {
	bool limits;   /* access units */
	bool children; /* the block about the file below */
};

/* One layer, as an object. `name`: what it is called; the file below goes by layer->path. */
void info_print(struct emit *out, const struct info_layer *layer, const char *name,
		const struct info_style *style);
