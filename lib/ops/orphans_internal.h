#pragma once
#include "ops/check_internal.h"
#include "ops/orphans.h"

/* The count of a leaked cluster that a repair takes for lost data; 0: the refcounts are too narrow to
 * tell it from others. No more than a narrower width can hold, and a byte of a check. */
static inline uint64_t suspect_count(unsigned refcount_order)
{
	return refcount_order >= 3 ? 127 : refcount_order ? (1u << (1u << refcount_order)) - 1 : 0;
}

/* More than these are not listed: then every leaked cluster is suspect. */
#define ORPHANS_MAX ((size_t)4096)
#define ZEROED_MAX  ((size_t)65536)

/* Whether a cluster is counted once more than anybody refers to it; or holds something, and neither
 * counts nor references are left. */
static inline bool orphan_is_leaked(struct check *c, uint64_t cluster)
{
	if (c->unreferenced && bit_at(c->unreferenced, cluster))
		return !counts_get(&c->expected, cluster);
	return !check_count_unknown(c, cluster) &&
	       check_stored(c, cluster) > counts_get(&c->expected, cluster);
}

/* What an entry of a table that nothing leads to says. */
enum orphan_word {
	ORPHAN_WORD_EMPTY,  /* nothing, or zeros without a cluster */
	ORPHAN_WORD_AGREES, /* a cluster that is counted once more than known */
	ORPHAN_WORD_KNOWN,  /* one that others explain */
	ORPHAN_WORD_BAD,    /* nothing that a table holds */
};
enum orphan_word orphan_word_judge(struct check *c, const struct l2_entry *x);

/* Whether these bytes, the first n of a cluster, can be the beginning of an L2 table. */
bool orphan_may_be_table(struct check *c, const uint8_t *bytes, size_t n);
/* Whether a cluster is a lost L2 table, with what can be said without its place: false, or
 * table_score > 0. `scratch` has room for as many offsets as the table has entries. */
bool orphan_judge(struct check *c, uint64_t host, const uint8_t *table, uint64_t *scratch,
		  struct orphan *o);

/* After a pass of the check: fills all of o. */
int orphans_find(struct check *c, struct orphans *o, struct err *e) MUST_CHECK;
/* Whether an L1 entry of the disk that leads to `host` leads to a table of its own, as far as one entry
 * alone can tell: no guest data lie there that are no table. */
bool orphan_slot_is_sound(struct check *c, uint64_t host);
/* Whether more entries lead there than are counted. */
bool orphan_table_is_crowded(struct check *c, uint64_t host);
/* Where each belongs. */
int orphans_place(struct check *c, struct orphans *o, struct err *e) MUST_CHECK;
/* Which leaked clusters may be data: of orphans, of zeroed tables, of what could not be read. */
int suspects_find(struct check *c, struct orphans *o, struct err *e) MUST_CHECK;

/* The last step of it: which of them tables without entries may have mapped. */
void zeroed_propose(struct check *c, struct orphans *o);

/* Clusters without a reference that are leaked, in the order of the file: the first at or behind `from`, c->clusters if there is
 * none. */
uint64_t orphan_next_leak(struct check *c, uint64_t from);
