#pragma once
#include "cmd/cache.h"
#include "cmd/options.h"

/* check --rebuild-header: proposes a header for an image that lost it, and writes it. */
struct check_header {
	int wanted, apply;
	const char *size; /* as typed, or NULL */
	const char *undo; /* of --undo, or NULL */
};

/* Their rows of the table of options. */
#define CHECK_HEADER(h)                                                                    \
	{ "rebuild-header", 0, POPT_ARG_NONE, &(h).wanted, 0,                              \
	  "propose a header for an image that lost it", NULL },                            \
	{ "size", 0, POPT_ARG_STRING, &(h).size, 0,                                        \
	  "with --rebuild-header: the size of the disk", "SIZE" },                         \
	{ "apply", 0, POPT_ARG_NONE, &(h).apply, 0, "with --rebuild-header: write it", NULL }

/* Ends the program when they don't go together. `other`: something else was asked for. */
void check_header_take(const struct cmd *c, const struct check_header *h, bool other);
/* Returns the exit status. */
int check_header_rebuild(const char *name, const struct cache_mode *cache,
			 const struct check_header *h);
