#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/watch.h"
#include "image/spec.h"

/* Internal snapshots: taking, deleting, going back to one. */
struct snapshot_change {
	const struct spec *spec; /* the image */
	unsigned write_flags;	 /* cache mode */
	const struct watch *watch;
	const struct listener *listener;
};

/* Takes one now. A name that is empty or taken already is allowed, with a warning. */
int snapshot_create(const struct snapshot_change *c, const char *name, struct err *e) MUST_CHECK;
/* Goes back to one: `which` is an id, or else a name, or id:ID. */
int snapshot_apply(const struct snapshot_change *c, const char *which, struct err *e) MUST_CHECK;
/* Deletes all of them in one pass, or none: each is a name (the first of that name goes), or
 * id:ID. NULL-terminated. */
int snapshot_delete(const struct snapshot_change *c, const char *const *which,
		    struct err *e) MUST_CHECK;
