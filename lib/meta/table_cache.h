#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/file.h"

/* Pieces of L1 and L2 tables as they stand in the file, read on demand and kept while room
 * lasts. The unit is a slice: a cluster, or 64 KiB of a larger one, so that 2 MiB clusters do
 * not cost 2 MiB a table. May be used on several threads at once. */
struct table_cache;

struct table_slice {
	uint64_t off;	      /* host offset, a multiple of the slice size */
	const uint8_t *bytes; /* slice size bytes; what lies past the end of the file is zero */
};

struct table_cache *table_cache_new(struct file *f, unsigned cluster_bits, struct err *e);
void table_cache_free(struct table_cache *c);
unsigned table_cache_slice_bits(const struct table_cache *c);
/* Whether the file holds anything at `off`: a table that begins behind its end is lost. */
bool table_cache_reaches(const struct table_cache *c, uint64_t off);

/* Gets the slice at `off` (a multiple of the slice size); every get needs its put. */
int table_cache_get(struct table_cache *c, uint64_t off, const struct table_slice **s,
		    struct err *e) MUST_CHECK;
void table_cache_put(struct table_cache *c, const struct table_slice *s);
