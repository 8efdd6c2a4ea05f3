#pragma once
#include "base/err.h"
#include "image/spec.h"

/* The option string of --image-opts, and its JSON form. The spec is filled as far as it went
 * on failure; the caller calls spec_fini(). */
int image_opts_parse(struct spec *s, const char *text, struct err *e);
/* `text` begins "json:". `format`: FORMAT_PROBE, or what -f says; it must not contradict. */
int image_opts_parse_json(struct spec *s, const char *text, enum image_format format,
			  struct err *e);

/* A name for an image that a plain path does not describe (a window, explicit backing or data
 * file): `json:{...}`; the caller frees it. NULL with *plain = true where spec.path says it
 * all; NULL otherwise when memory is out. */
char *image_opts_name(const struct spec *s, bool *plain);
