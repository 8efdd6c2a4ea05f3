/* Which of two headers is the better one, by the check of the image with each, and how sure
 * that is. */
#include "ops/rebuild_internal.h"

uint64_t rebuild_errors(const struct rebuild *r)
{
	return r->check.corruptions + r->check.check_errors;
}

uint64_t rebuild_data_bytes(const struct rebuild *r)
{
	return r->check.allocated_clusters << r->header.cluster_bits;
}

uint64_t rebuild_gain(const struct rebuild *r)
{
	/* Counts say nothing here. */
	static const enum problem_kind of_counts[] = {
		PROBLEM_REFCOUNT_ZERO,
		PROBLEM_REFCOUNT_TOO_LOW,
		PROBLEM_COPIED_L2_TABLE,
		PROBLEM_COPIED_DATA,
	};
	uint64_t bad = rebuild_errors(r), counts = 0, data = rebuild_data_bytes(r);

	for (size_t i = 0; i < sizeof of_counts / sizeof *of_counts; i++)
		counts += r->check.kinds[of_counts[i]];
	bad = (bad - MIN(bad, counts)) << r->header.cluster_bits;
	return data - MIN(data, bad);
}

/* Two uses of a cluster that don't go together. */
static uint64_t crossings(const struct rebuild *r)
{
	return r->check.kinds[PROBLEM_CROSS_LINK] +
	       r->check.kinds[PROBLEM_METADATA_OVERLAP];
}

/* Whether the two say the same but for a LUKS header. */
static bool only_luks_differs(const struct rebuild *a, const struct rebuild *b)
{
	const struct header *x = &a->header, *y = &b->header;

	return !a->intact && !b->intact && x->has_crypto_ext != y->has_crypto_ext &&
	       x->cluster_bits == y->cluster_bits && x->l1_table_off == y->l1_table_off &&
	       x->refcount_table_off == y->refcount_table_off;
}

/* Whether it leads to guest data that its tables do not contradict. */
static bool maps_data(const struct rebuild *r)
{
	return r->mapped_end && rebuild_gain(r);
}

bool rebuild_only_l1_is_lost(const struct rebuild *r)
{
	return (r->l1_is_new || r->intact) && r->header.refcount_table_clusters &&
	       !r->check.allocated_clusters && r->check.leaks &&
	       rebuild_errors(r) == r->check.kinds[PROBLEM_REFCOUNT_ZERO];
}

/* Whether r leads to less than half of what lost has counted: what it takes for the L1 table of the disk
 * is another table, or guest data. */
static bool is_lookalike(const struct rebuild *r, const struct rebuild *lost)
{
	return rebuild_only_l1_is_lost(lost) && !rebuild_only_l1_is_lost(r) && !r->intact &&
	       rebuild_gain(r) < (lost->check.leaks << lost->header.cluster_bits) / 2;
}

/* A header that leads to nothing contradicts little: any other is better. What is leaked is
 * not explained, which says as much against a header as an error does. */
bool rebuild_is_better(const struct rebuild *a, const struct rebuild *b)
{
	uint64_t a_bad = rebuild_errors(a) + a->check.leaks;
	uint64_t b_bad = rebuild_errors(b) + b->check.leaks;
	bool a_counts = a->header.refcount_table_clusters,
	     b_counts = b->header.refcount_table_clusters;

	if (is_lookalike(a, b) || is_lookalike(b, a))
		return is_lookalike(b, a);
	if (maps_data(a) != maps_data(b) && !a->intact && !b->intact)
		return maps_data(a);
	/* Then the counts are all that tells: they end where the file ends. */
	if (!maps_data(a) && !a->intact && !b->intact && a_counts && b_counts && a->gap != b->gap)
		return a->gap < b->gap;
	if (!a->intact && !b->intact && a->lost_clusters != b->lost_clusters &&
	    rebuild_only_l1_is_lost(a) && rebuild_only_l1_is_lost(b))
		return a->lost_clusters > b->lost_clusters;
	/* A LUKS header where nothing else lies is the image's, whatever the counts say. */
	if (only_luks_differs(a, b) && crossings(a) == crossings(b))
		return a->header.has_crypto_ext;
	/* Without refcounts everything is an error: who explains more of the file is right.
	 */
	if (!a_counts && !b_counts && rebuild_data_bytes(a) != rebuild_data_bytes(b))
		return rebuild_data_bytes(a) > rebuild_data_bytes(b);
	/* Tables that are no refcounts against none: the tree of the disk tells. */
	if (a_counts != b_counts && rebuild_gain(a) != rebuild_gain(b))
		return rebuild_gain(a) > rebuild_gain(b);
	return a_bad != b_bad ? a_bad < b_bad : rebuild_errors(a) < rebuild_errors(b);
}

/* Lost space alone may as well be the data of a table that was not found. */
static bool is_explained(const struct rebuild *r)
{
	return r->intact || r->check.leaks <= r->check.allocated_clusters;
}

enum rebuild_trust rebuild_trust_of(const struct rebuild *r)
{
	if (rebuild_errors(r) || !is_explained(r))
		return REBUILD_DOUBTFUL;
	return r->check.leaks || r->rivals || r->source[REBUILD_SIZE] == REBUILD_ASSUMED
		       ? REBUILD_LIKELY
		       : REBUILD_CERTAIN;
}
