/* Refcounts in place: which leaked clusters may be freed, and counts that are set to what was
 * counted. */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "format/refcount_block.h"

bool repair_may_free(const struct repair *r)
{
	return r->options->free_suspects || !r->found.pointers_lost;
}

bool repair_may_free_cluster(const struct repair *r, uint64_t cluster)
{
	bool used = counts_get(&r->check.expected, cluster) != 0;

	if (r->options->free_suspects || repair_is_own_leak(r, cluster) ||
	    (used && repair_is_marked(r, cluster)))
		return true;
	if (orphans_suspect(&r->orphans, cluster))
		return false;
	/* Data that somebody has are not lost with a pointer that is gone; one that is there, and can't
	 * be followed, may share them. */
	return !(used ? r->found.pointers_lost_now : r->found.pointers_lost);
}

uint64_t repair_target(struct repair *r, uint64_t cluster)
{
	uint64_t expected = counts_get(&r->check.expected, cluster),
		 stored = check_stored(&r->check, cluster);

	if (stored > expected &&
	    (expected == COUNTS_MAX || !repair_may_free_cluster(r, cluster)))
		return stored;
	return expected;
}

bool repair_only_copied(const struct repair *r)
{
	return !r->found.check_errors &&
	       r->found.corruptions == r->found.kinds[PROBLEM_COPIED_DATA] +
					       r->found.kinds[PROBLEM_COPIED_L2_TABLE];
}

/* --- counts in blocks --- */

struct block_edit {
	struct repair *repair;
	struct repair_table table; /* host 0: no block is loaded */
	bool raise;		   /* else lower */
	uint64_t kept;		   /* leaks that stay */
};

static int block_load(struct block_edit *b, uint64_t host, struct err *e)
{
	uint64_t size = geom_cluster_size(&b->repair->geom);

	if (b->table.host == host)
		return 0;
	if (repair_table_store(b->repair, &b->table, e) < 0)
		return -1;
	b->table.host = host;
	return file_read_padded(b->repair->file, host, b->table.bytes, size, NULL, e);
}

static void count_put(struct block_edit *b, uint64_t cluster, uint64_t value)
{
	const struct geom *g = &b->repair->geom;
	uint64_t idx = cluster & ((UINT64_C(1) << geom_refcount_block_bits(g)) - 1);
	size_t at = (size_t)(idx << g->refcount_order >> 3);
	struct repair_table *t = &b->table;

	refcount_block_set(t->bytes, g->refcount_order, idx, value);
	if (t->from >= t->to) {
		t->from = at;
		t->to = at + 1;
	}
	t->from = MIN(t->from, at);
	t->to = MAX(t->to, at + 1);
}

static void count_told(struct repair *r, uint64_t cluster, uint64_t stored, uint64_t target)
{
	struct finding f = {
		.kind = stored > target ? PROBLEM_LEAKED_CLUSTER
			: stored	? PROBLEM_REFCOUNT_TOO_LOW
					: PROBLEM_REFCOUNT_ZERO,
		.has_host = true,
		.host = cluster << r->geom.cluster_bits,
		.has_counts = true,
		.cluster = cluster,
		.refcount = stored,
		.references = counts_get(&r->check.expected, cluster),
	};

	if (cluster < r->clusters)
		repair_fixed(r, &f, NULL);
}

/* Below the repair of everything, a count that falls to 1 asks for a COPIED flag; where that may not
 * be set the count stays. */
static bool may_lower(const struct repair *r, uint64_t target)
{
	return r->options->all || target != 1 || repair_only_copied(r);
}

static int cluster_set(struct block_edit *b, uint64_t cluster, struct err *e)
{
	struct repair *r = b->repair;
	struct check *c = &r->check;
	uint64_t stored = check_stored(c, cluster), target = repair_target(r, cluster);
	uint64_t host = c->blocks[cluster >> geom_refcount_block_bits(c->geom)];

	b->kept += stored > counts_get(&c->expected, cluster) && stored == target;
	if (stored == target || (stored < target) != b->raise || !host || host == BLOCK_UNKNOWN ||
	    target > geom_refcount_max(c->geom) || (!b->raise && !may_lower(r, target)))
		return 0;
	/* What has to be written before comes before the block is read. */
	if (repair_begin_write(r, e) < 0 || block_load(b, host, e) < 0)
		return -1;
	count_put(b, cluster, target);
	count_told(r, cluster, stored, target);
	return 0;
}

static int counts_set(struct repair *r, bool raise, uint64_t *kept, struct err *e)
{
	struct check *c = &r->check;
	struct block_edit b = { .repair = r, .raise = raise };
	int ret = 0;

	b.table.bytes = malloc(geom_cluster_size(&r->geom));
	if (!b.table.bytes)
		return err_nomem(e);
	for (uint64_t page = 0; ret == 0 && page < counts_pages(&c->expected); page++) {
		uint64_t first = page << COUNTS_PAGE_BITS, nr = MIN(COUNTS_PAGE, c->clusters - first);
		const uint8_t *expected = c->expected.low + first, *stored = c->stored.low + first;

		if (memcmp(expected, stored, nr) == 0 && !memchr(stored, COUNTS_BIG, nr))
			continue;
		ret = watch_stopped(r->options->watch, e);
		for (uint64_t i = 0; ret == 0 && i < nr; i++)
			if (expected[i] != stored[i] || stored[i] == COUNTS_BIG)
				ret = cluster_set(&b, first + i, e);
	}
	if (ret == 0)
		ret = repair_table_store(r, &b.table, e);
	free(b.table.bytes);
	*kept = b.kept;
	return ret;
}

int repair_raise(struct repair *r, struct err *e)
{
	uint64_t kept;

	return counts_set(r, true, &kept, e);
}

int repair_marks_store(struct repair *r, struct err *e)
{
	struct check *c = &r->check;
	struct block_edit b = { .repair = r };
	int ret = 0;

	b.table.bytes = malloc(geom_cluster_size(&r->geom));
	if (!b.table.bytes)
		return err_nomem(e);
	for (uint64_t i = orphan_next_leak(c, 0); ret == 0 && i < c->clusters;
	     i = orphan_next_leak(c, i + 1)) {
		if (!repair_is_marked(r, i) || check_stored(c, i) == suspect_count(r->geom.refcount_order))
			continue;
		ret = block_load(&b, c->blocks[i >> geom_refcount_block_bits(c->geom)], e);
		if (ret == 0)
			count_put(&b, i, suspect_count(r->geom.refcount_order));
	}
	if (ret == 0)
		ret = repair_table_store(r, &b.table, e);
	free(b.table.bytes);
	return ret;
}

static void kept_told(struct repair *r, uint64_t nr, const char *why)
{
	if (!r->result->leaks_kept && nr)
		repair_say(r, "%" PRIu64 " leaked clusters are left alone: %s", nr, why);
	r->result->leaks_kept |= nr != 0;
}

int repair_leaks(struct repair *r, struct err *e)
{
	uint64_t kept = 0;

	if (!repair_has(r, PROBLEM_LEAKED_CLUSTER) || repair_refcounts_lost(r))
		return 0;
	if (counts_set(r, false, &kept, e) < 0)
		return -1;
	kept_told(r, kept, repair_may_free(r) ? "they may be data that a lost table mapped"
					      : "they may belong to what could not be read");
	return 0;
}
