#pragma once
#include "base/watch.h"
#include "meta/tree.h"
#include "meta/walk.h"

/* How many clusters a tree has for itself, and how many with others. Its L1 table and L2 tables
 * are among them. */
struct tree_share {
	uint64_t own;	 /* would be free if this tree were gone */
	uint64_t shared; /* that other trees refer to, too. Packed clusters can lie together with
			  * those of another L2 table; their host cluster counts for each table */
};

/* For all trees at once (0: the active one): every L2 table is read twice, however many trees lead
 * to it. Memory: four bytes for each host cluster. ERR_CORRUPT when something cannot be followed,
 * for then nobody can say what is whose. */
int tree_shares(const struct walk_source *src, const struct tree *trees, uint32_t nr,
		struct tree_share *out, const struct watch *watch, struct err *e) MUST_CHECK;
