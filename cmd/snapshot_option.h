#pragma once
#include "base/err.h"
#include "cmd/option_list.h"
#include "image/disk.h"

/* The argument of -l: a word, taken as an id first and then as a name, or
 * snapshot.id=ID,snapshot.name=NAME, of which either may be missing. NULL: no snapshot. The
 * strings in `o` belong to `text` and to `hold`, which the caller finishes in any case. */
int snapshot_option(const char *text, struct option_list *hold, struct disk_options *o,
		    struct err *e);
