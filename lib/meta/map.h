#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "format/geom.h"
#include "format/l2_entry.h"
#include "meta/table_cache.h"

/* From guest offsets to host places, through one L1 table: the active one, or a snapshot's. */
struct map {
	const struct geom *geom;
	struct table_cache *cache;
	uint64_t l1_off;	/* cluster aligned; checked against (1.3) by whoever made the map */
	uint32_t l1_nr;		/* entries */
};

/* A run of guest bytes of one kind. */
struct map_run {
	enum cluster_kind kind; /* never CLUSTER_ABSENT_HOST: that is CLUSTER_ABSENT here */
	uint64_t len;		/* bytes; 1..max_len */
	uint64_t host;		/* DATA, ZERO_HOST: place of the first byte. PACKED: of the first
				 * byte of the first compressed cluster */
	uint32_t host_len;	/* PACKED: compressed bytes of the first cluster, slack included */
};

/* The run that begins at `guest`, at most max_len (> 0) bytes; it ends at the latest where the
 * table slice ends. Runs of ABSENT, ZERO and PACKED clusters are joined, DATA and ZERO_HOST
 * where host places adjoin. ERR_CORRUPT names the guest offset and what is wrong: entries
 * that are invalid, not aligned, or (with an external data file) not at their place; tables that
 * begin past the end of the file. On failure r->len is set all the same: as many bytes are lost
 * with that piece of a table, or with these entries. */
int map_next(const struct map *m, uint64_t guest, uint64_t max_len, struct map_run *r,
	     struct err *e) MUST_CHECK;

/* Whether two maps of one image lead to the same from `guest` on, as far as their pointers tell: the
 * same L2 table, or the same entries. *len: for how many bytes (1..max_len) that answer holds. What
 * cannot be followed is not alike; map_next() says what is wrong with it. */
int map_alike(const struct map *a, const struct map *b, uint64_t guest, uint64_t max_len,
	      bool *alike, uint64_t *len, struct err *e) MUST_CHECK;
