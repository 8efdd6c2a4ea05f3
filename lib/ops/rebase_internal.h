#pragma once
#include "ops/rebase.h"

/* Whether the image of `d` may stand on the backing file `path`: it must not be part of that
 * chain itself. What of the chain can't be opened, or isn't there, is not looked at. */
int rebase_loop_check(struct disk *d, const char *path, enum image_format format,
		      struct err *e) MUST_CHECK;
/* Where the new backing file, s->path, is a layer of `old`, which `image` names: gives the layers of `s`
 * the secrets that were given for them there. */
int rebase_secrets(struct spec *s, const struct spec *image, struct disk *old,
		   struct err *e) MUST_CHECK;
/* The depth of the layer of `old` from which on the chain is the whole of `new`; UINT_MAX: there is
 * none. */
unsigned rebase_shared_depth(struct disk *old, struct disk *new);
