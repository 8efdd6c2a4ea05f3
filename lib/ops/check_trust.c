/* Refcount blocks that hold something else, by what has one owner by its nature. */
#include "ops/check_internal.h"

/* So many in a block are enough to judge it. */
#define SINGLE_MIN 2

struct votes {
	uint64_t singles; /* clusters that nothing may share */
	uint64_t high;	  /* those among them with counts above 1 */
};

static void cluster_ask(struct check *c, uint64_t cluster, struct votes *v)
{
	if (cluster >= c->clusters || check_count_unknown(c, cluster) ||
	    counts_get(&c->expected, cluster) != 1)
		return;
	v->singles++;
	v->high += c->stored.low[cluster] > 1;
}

/* No lost table explains such counts: what the others in the block say is no sign of one either. */
static void block_judge(struct check *c, uint64_t block, struct votes *v)
{
	if (v->singles >= SINGLE_MIN && v->high > v->singles / 2)
		c->blocks[block] = BLOCK_UNKNOWN;
	*v = (struct votes) { 0 };
}

/* Where something else lies on a block, nobody knows whose bytes they are. */
static void crossed_distrust(struct check *c)
{
	uint64_t blocks = (c->clusters >> geom_refcount_block_bits(c->geom)) + 1;

	for (uint64_t i = 0; c->refcounts_crossed && i < blocks; i++)
		if (c->blocks[i] && c->blocks[i] != BLOCK_UNKNOWN &&
		    check_is_crossed(c, check_cluster(c, c->blocks[i])))
			c->blocks[i] = BLOCK_UNKNOWN;
}

void check_distrust(struct check *c)
{
	unsigned bits = geom_refcount_block_bits(c->geom);
	struct votes v = { 0 };
	uint64_t block = 0;

	crossed_distrust(c);
	if (!c->result->kinds[PROBLEM_LEAKED_CLUSTER])
		return;
	check_claims_sort(c);
	for (size_t i = 0; i < c->claim_nr; i++) {
		uint64_t end = MIN(c->claims[i].first + c->claims[i].nr, c->clusters);

		for (uint64_t k = c->claims[i].first; k < end; k++) {
			if (k >> bits != block)
				block_judge(c, block, &v);
			block = k >> bits;
			cluster_ask(c, k, &v);
		}
	}
	block_judge(c, block, &v);
}
