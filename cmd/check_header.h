#pragma once
#include "cmd/cache.h"
#include "cmd/options.h"

/* check --rebuild-header: proposes a header for an image that lost it, and writes it. */

extern struct poptOption check_header_options[];
#define CHECK_HEADER_OPTIONS                                                                    \
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, check_header_options, 0,                               \
	  "A lost header:", NULL }

/* Whether it was asked for. Other options of it without that are usage errors; `other`: something
 * else was asked for, which does not go with it. */
bool check_header_wanted(const struct cmd *c, bool other);

/* undo: a file to be made, or NULL. Returns the exit status. */
int check_header_rebuild(const struct cmd *c, const char *name, const struct cache_mode *cache,
			 const char *undo);
