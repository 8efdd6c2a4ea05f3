#pragma once
#include "ops/check_internal.h"

/* The table at hand. */
struct check_table {
	struct check *check;
	const struct walk_l2_table *at;
	uint64_t guest;    /* that its first entry maps */
	uint64_t expected; /* where the next standard cluster would be if nothing were
			    * fragmented; 0: no cluster met yet */
	bool asked;        /* whether it is a table at all */
	struct {
		uint64_t allocated, fragmented, compressed;
	} before; /* statistics without this table */
};

/* About entry `idx`, which leads to `host` (0: nowhere). */
void check_l2_found(const struct check_table *t, uint32_t idx, enum problem_kind kind,
		    uint64_t host);
/* About a cluster behind the end of the file, which is at `host`. */
void check_l2_outside(const struct check_table *t, uint32_t idx, uint64_t host,
		      bool copied);
/* Guest data in clusters first .. first+nr-1, of entry idx: none of them may be metadata.
 */
int check_l2_cross(struct check_table *t, uint32_t idx, uint64_t first, uint64_t nr,
		   struct err *e);
/* COPIED of the first n entries of a run says: this cluster has one owner. With a data file
 * that is always so (5.5). Without one, all n clusters lie in the file. */
void check_l2_copied(struct check_table *t, const struct l2_run *r, uint32_t n);
