#pragma once
#include "cmd/convert_choices.h"

/* What the last operand of convert names. */

/* For --target-image-opts without -n, else nothing happens: the options may name a plain new file and its
 * format, which become o->target (which is the spec's) and o->format. */
int convert_target_new(const struct convert_choices *c, const char *operand, struct spec *s,
		       struct convert_options *o, struct err *e) MUST_CHECK;
/* For all other targets: fills o->target, which belongs to the operand or to `s`; for one that exists and
 * is named by options o->target_spec, too, which is `s` then. o->format is what -O says, and changes where
 * options say something else. */
int convert_target_take(const struct convert_choices *c, const char *operand, struct spec *s,
			struct convert_options *o, struct err *e) MUST_CHECK;
