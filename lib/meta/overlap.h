#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Which host clusters hold metadata (13), asked before every write: wrong refcounts or pointers
 * must not make one structure overwrite another. Clusters, not bytes. */
enum overlap_what {
	OVERLAP_NONE,
	OVERLAP_HEADER,
	OVERLAP_L1_TABLE,
	OVERLAP_L2_TABLE,
	OVERLAP_REFCOUNT_TABLE,
	OVERLAP_REFCOUNT_BLOCK,
	OVERLAP_SNAPSHOT_TABLE,
	OVERLAP_SNAPSHOT_L1,
	OVERLAP_BITMAPS,
	OVERLAP_CRYPTO_HEADER,
	OVERLAP_WHATS
};

struct overlap {
	uint64_t *slots; /* hash set: cluster << 4 | what; 0: free, all ones: was used */
	uint64_t seed;	   /* of the hash */
	size_t room, used; /* used: slots that are not free, deleted ones included */
};

void overlap_fini(struct overlap *o);
/* Clusters first .. first+nr-1 are `what` from now on. ERR_CORRUPT if one of them is something
 * else already, or the same a second time; the text names both. */
int overlap_add(struct overlap *o, uint64_t first, uint64_t nr, enum overlap_what what,
		struct err *e) MUST_CHECK;
void overlap_remove(struct overlap *o, uint64_t first, uint64_t nr);
/* What the first cluster of first .. first+nr-1 that is metadata holds. */
enum overlap_what overlap_find(const struct overlap *o, uint64_t first, uint64_t nr,
			       uint64_t *cluster);
/* Each cluster of the set once, in no order: *at begins with 0. False: there is none left. */
bool overlap_next(const struct overlap *o, size_t *at, uint64_t *cluster, enum overlap_what *what);
/* The cluster behind the last one that is metadata. */
uint64_t overlap_end(const struct overlap *o);
/* "L2 table" */
const char *overlap_text(enum overlap_what what);
