#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* One count per host cluster, for whoever counts references. A byte each; the rare count
 * that a byte cannot hold lives in a page of wide counts beside it. The arrays come from
 * the system as untouched zeros, so a large sparse file costs what its used parts cost. */
#define COUNTS_PAGE_BITS 12
#define COUNTS_PAGE (UINT64_C(1) << COUNTS_PAGE_BITS) /* clusters */
#define COUNTS_BIG 255 /* in `low`: this much or more, see counts_get() */
#define COUNTS_MAX UINT32_MAX /* from counts_get(): this much or more */

struct counts {
	uint64_t nr;      /* clusters */
	uint8_t *low;     /* per cluster: the count, or COUNTS_BIG */
	uint32_t **big;   /* per page; NULL where no count is big. Stops at COUNTS_MAX */
	uint8_t *touched; /* per page: something in it may be non-zero */
};

int counts_init(struct counts *c, uint64_t nr, struct err *e) MUST_CHECK;
/* Accepts the zeroed state. */
void counts_fini(struct counts *c);

static inline uint64_t counts_pages(const struct counts *c)
{
	return (c->nr + COUNTS_PAGE - 1) >> COUNTS_PAGE_BITS;
}

/* Adds `times` to the counts first .. first+nr-1. Clusters from c->nr on are not counted.
 * Fails only when memory is out. */
int counts_add(struct counts *c, uint64_t first, uint64_t nr, uint64_t times,
	       struct err *e) MUST_CHECK;

/* The same for one cluster (idx < c->nr), if that is easy; else false, and nothing was
 * done. */
static inline bool counts_add_small(struct counts *c, uint64_t idx, uint64_t times)
{
	if (times >= 128 || c->low[idx] >= 127)
		return false;
	c->low[idx] = (uint8_t)(c->low[idx] + times);
	c->touched[idx >> COUNTS_PAGE_BITS] = 1;
	return true;
}

/* Takes back what was added. */
void counts_take(struct counts *c, uint64_t first, uint64_t nr, uint64_t times);

/* 0 for clusters from c->nr on; counts stop at COUNTS_MAX. */
uint64_t counts_get(const struct counts *c, uint64_t idx);

/* Takes from both what they have in common, cluster by cluster. They are of one length. Counts of
 * COUNTS_BIG or more stay. */
void counts_cancel(struct counts *a, struct counts *b);

/* Says that the caller writes c->low[first .. first+nr-1] itself (nr > 0, in range). */
void counts_touch(struct counts *c, uint64_t first, uint64_t nr);
