#pragma once
#include "ops/repair_internal.h"

/* Whether a cluster looks like one that lost its owner: `own` references, all of them from the one
 * who asks, and counted. */
bool repair_is_orphan(struct repair *r, uint64_t host, uint64_t own);
/* Repairs the entries of an L2 table; `copy`: its bytes, to be changed. */
int repair_l2_table(struct repair *r, const struct walk_l2_table *t, uint8_t *copy,
		    struct err *e) MUST_CHECK;
