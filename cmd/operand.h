#pragma once
#include "base/err.h"
#include "image/spec.h"

/* Operands: what a person may write where an image is meant. */

/* A format word (-f, -O, -F); NULL gives FORMAT_PROBE. */
int operand_format(const char *word, enum image_format *format, struct err *e);

/* An operand that names an existing image: a path, file:PATH, json:{...}, or an option string
 * under --image-opts; -U is taken into account. `format`: the word of -f, or NULL. Zeroed or
 * owned by the caller (spec_fini) in every case. Texts begin "Could not open 'NAME': ". */
int operand_spec(struct spec *s, const char *operand, const char *format, struct err *e);

/* An operand that names a file to be made: a path or file:PATH. *path points into operand. */
int operand_path(const char *operand, const char **path, struct err *e);
/* Says that an image that is about to be written to was taken for raw because nothing said what it
 * is: whoever writes to a raw disk decides what its first bytes look like. Nothing for others. */
void operand_warn_probed(const struct spec *s, enum image_format found);
