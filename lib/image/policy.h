#pragma once
#include "base/err.h"
#include "image/spec.h"

/* Names found inside images are data, written by whoever made the image. This is the one
 * place that decides whether such a name may be opened, and as what. */

/* Turns `name`, found in the image at `holder` (its path), into a path to open:
 * refuses json: and every proto: prefix (file: too: it is a name like any other), the empty
 * name and control characters' tricks are left to the file system; a relative name is
 * combined with the directory of `holder`. The caller frees *path. instead: what
 * to do where a name is refused, or NULL. */
int policy_resolve(const char *holder, const char *name, const char *instead, char **path,
		   struct err *e);

/* "dir/of/holder/" + name, or name if it is absolute, without asking whether it may be
 * opened: for info, which only shows it. NULL when memory is out. */
char *policy_combine(const char *holder, const char *name);
/* Whether the name begins with a protocol (a word and a colon before any slash). */
bool policy_has_protocol(const char *name);
