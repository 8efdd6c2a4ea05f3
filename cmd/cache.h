#pragma once
#include <stdbool.h>

#include "base/err.h"

/* A cache mode word (-t, -T). */
struct cache_mode {
	bool direct;	  /* bypass the page cache */
	bool sync_writes; /* each write is durable when it returns */
	bool no_flush;	  /* unsafe: never flush */
};

/* QCOW2_TOOLS_STRICT=1: what cannot be had is an error, not left out without a word. */
bool cache_is_strict(void);

/* `what` is "cache" or "source cache": messages begin "Invalid WHAT option: WORD". A NULL
 * word gives writeback. */
int cache_from_text(const char *what, const char *word, struct cache_mode *m, struct err *e);
/* Flags of file_open() for a file that is written in this mode. */
unsigned cache_write_flags(const struct cache_mode *m);
