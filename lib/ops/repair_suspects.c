/* Leaked clusters that may be lost data are known by what is wrong with an image. A repair
 * does away with that, so it leaves a mark on them first: a count that no cluster has which
 * nobody refers to. It harms nothing, everybody takes it for a leak, and the next repair
 * knows what it is (ops/suspects.c). */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <stdlib.h>

static int bits_need(const struct repair *r, uint8_t **bits, struct err *e)
{
	if (!*bits)
		*bits = calloc(r->clusters / 8 + 1, 1);
	return *bits ? 0 : err_nomem(e);
}

static bool is_in(const struct repair *r, const uint8_t *bits, uint64_t cluster)
{
	return bits && cluster < r->clusters && bit_at(bits, cluster);
}

bool repair_is_own_leak(const struct repair *r, uint64_t cluster)
{
	return cluster >= r->clusters || is_in(r, r->abandoned, cluster);
}

bool repair_is_marked(const struct repair *r, uint64_t cluster)
{
	return is_in(r, r->marked, cluster);
}

int repair_abandon(struct repair *r, uint64_t host, uint64_t len, enum walk_what what,
		   struct err *e)
{
	uint64_t first = host >> r->geom.cluster_bits;
	uint64_t end = MIN(geom_clusters(&r->geom, host + len), r->clusters);

	if (bits_need(r, &r->abandoned, e) < 0)
		return -1;
	for (uint64_t i = first; i < end; i++)
		if (bit_at(r->check.metadata, i)
			    ? !check_is_crossed(&r->check, i) &&
				      check_claimed_by(&r->check, i) == what
			    : !counts_get(&r->check.expected, i))
			bit_set(r->abandoned, i);
	return 0;
}

/* Whether a leak stays, and no lost table that is in the file still tells why. */
static bool wants_mark(struct repair *r, uint64_t cluster)
{
	uint64_t host = r->check.blocks[cluster >> geom_refcount_block_bits(&r->geom)];

	return host && host != BLOCK_UNKNOWN && !repair_may_free_cluster(r, cluster) &&
	       !orphans_explain(&r->orphans, cluster) &&
	       check_stored(&r->check, cluster) != suspect_count(r->geom.refcount_order);
}

static void unmarkable_told(struct repair *r)
{
	if (!r->told_unmarked)
		repair_say(
			r,
			"refcounts of 1 bit can't say which leaked clusters may be lost data: the "
			"next repair takes those that are left alone now for garbage");
	r->told_unmarked = true;
}

int repair_mark_suspects(struct repair *r, struct err *e)
{
	struct check *c = &r->check;
	uint64_t nr = 0;

	if (!r->found.pointers_lost || r->options->free_suspects || r->marking)
		return 0;
	for (uint64_t i = orphan_next_leak(c, 0); i < MIN(c->clusters, r->clusters);
	     i = orphan_next_leak(c, i + 1)) {
		if (!wants_mark(r, i))
			continue;
		if (bits_need(r, &r->marked, e) < 0)
			return -1;
		if (suspect_count(r->geom.refcount_order) && !repair_is_marked(r, i)) {
			bit_set(r->marked, i);
			nr++;
		} else if (!suspect_count(r->geom.refcount_order)) {
			unmarkable_told(r);
			return 0;
		}
	}
	if (!nr)
		return 0;
	r->marking = true;
	int ret = repair_marks_store(r, e);

	r->marking = false;
	return ret < 0 ? -1 : repair_flush(r, e);
}
