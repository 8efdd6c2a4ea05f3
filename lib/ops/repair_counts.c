/* Counts that are too low, in place; or the whole refcount structure anew, where the old one cannot
 * be trusted or does not reach. */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/align.h"
#include "meta/refcount_rebuild.h"

bool repair_refcounts_lost(const struct repair *r)
{
	const struct check *c = &r->check;
	uint64_t blocks = (c->clusters >> geom_refcount_block_bits(c->geom)) + 1;

	for (uint64_t i = 0; i < blocks; i++)
		if (c->blocks[i] == BLOCK_UNKNOWN)
			return true;
	return c->refcounts_crossed || repair_has(r, PROBLEM_REFCOUNT_TABLE_EMPTY) ||
	       repair_has(r, PROBLEM_REFCOUNT_TABLE_OUT_OF_FILE) ||
	       repair_has(r, PROBLEM_REFCOUNT_ENTRY_RESERVED) ||
	       repair_has(r, PROBLEM_REFCOUNT_BLOCK_UNALIGNED) ||
	       repair_has(r, PROBLEM_REFCOUNT_BLOCK_OUT_OF_FILE);
}

/* Whether a range that is in use has no block, and the largest count that is asked for. */
static void look_for_room(struct repair *r, bool *no_block, uint64_t *largest)
{
	struct check *c = &r->check;
	unsigned bits = geom_refcount_block_bits(c->geom);

	*no_block = false;
	*largest = 0;
	for (uint64_t page = 0; page < counts_pages(&c->expected); page++) {
		uint64_t first = page << COUNTS_PAGE_BITS, nr = MIN(COUNTS_PAGE, c->clusters - first);
		const uint8_t *low = c->expected.low + first;

		if (!c->expected.touched[page] ||
		    (memcmp(low, c->stored.low + first, nr) == 0 && !memchr(low, COUNTS_BIG, nr)))
			continue;
		for (uint64_t i = 0; i < nr; i++) {
			*no_block |= low[i] && !c->blocks[(first + i) >> bits];
			*largest = MAX(*largest, counts_get(&c->expected, first + i));
		}
	}
}

/* --- the structure anew --- */

static void counts_take_one(struct counts *c, uint64_t idx)
{
	uint32_t *page = c->big[idx >> COUNTS_PAGE_BITS];

	if (c->low[idx] != COUNTS_BIG)
		c->low[idx] -= c->low[idx] != 0;
	else if (page && --page[idx & (COUNTS_PAGE - 1)] < COUNTS_BIG)
		c->low[idx] = COUNTS_BIG - 1;
}

/* The references of the old structure are taken back: it will be nobody's. */
static int on_area(void *arg, const struct walk_area *a, struct err *e)
{
	struct repair *r = arg;
	uint64_t first = check_cluster(&r->check, a->host);
	uint64_t end = check_cluster(&r->check, a->host + a->len - 1) + 1;

	if (a->what != WALK_REFCOUNT_TABLE && a->what != WALK_REFCOUNT_BLOCK)
		return 0;
	for (uint64_t i = first; i < MIN(end, r->check.clusters); i++)
		counts_take_one(&r->check.expected, i);
	return repair_abandon(r, a->host, a->len, a->what, e);
}

int repair_forget_refcounts(struct repair *r, struct err *e)
{
	static const struct walk_ops ops = { .area = on_area };
	struct walk_source src = { r->file, &r->header, &r->geom };
	struct walk *w;
	int ret;

	if (r->refcounts_forgotten)
		return 0;
	r->refcounts_forgotten = true;
	w = walk_new(&src, &ops, r, r->options->watch, e);
	ret = w ? walk_metadata(w, e) : -1;
	walk_free(w);
	return ret;
}

/* How a cluster without a reference that may not be freed is to be counted from now on. What a lost
 * table explains stays as that table has it; the rest gets a mark (ops/repair_suspects.c). */
static uint64_t kept_count(struct repair *r, uint64_t cluster, unsigned order)
{
	struct check *c = &r->check;
	uint64_t stored = check_count_unknown(c, cluster) ? 0 : check_stored(c, cluster);

	if (!stored && (!c->unreferenced || !bit_at(c->unreferenced, cluster)))
		return 0;
	return MAX(orphans_explain(&r->orphans, cluster) ? stored : suspect_count(order), 1);
}

/* What must not be freed stays counted: what the old counts say, and where they say nothing, what
 * holds something. */
static int kept_add(struct repair *r, unsigned order, struct err *e)
{
	struct check *c = &r->check;
	uint64_t new = 0;

	for (uint64_t i = 0; i < c->clusters; i++) {
		uint64_t expected = counts_get(&c->expected, i), keep;

		if (repair_may_free_cluster(r, i))
			continue;
		if (!expected)
			keep = kept_count(r, i, order);
		else
			keep = check_count_unknown(c, i) ? 0 : check_stored(c, i);
		if (keep > expected && counts_add(&c->expected, i, 1, keep - expected, e) < 0)
			return -1;
		new += keep && c->unreferenced && bit_at(c->unreferenced, i);
	}
	if (new)
		repair_say(r, "%" PRIu64 " clusters that nothing refers to hold something that may be lost "
			      "data: they are counted", new);
	return 0;
}

/* The narrowest width that is wide enough, and not narrower than now. */
static unsigned order_for(const struct repair *r, uint64_t largest)
{
	unsigned order = r->geom.refcount_order;

	while (order < 6 && (UINT64_C(1) << (1u << order)) - 1 < largest)
		order++;
	return order;
}

static void refcounts_told(struct repair *r, unsigned order)
{
	static const enum problem_kind kinds[] = {
		PROBLEM_REFCOUNT_TABLE_EMPTY,	  PROBLEM_REFCOUNT_TABLE_OUT_OF_FILE,
		PROBLEM_REFCOUNT_ENTRY_RESERVED,  PROBLEM_REFCOUNT_BLOCK_UNALIGNED,
		PROBLEM_REFCOUNT_BLOCK_OUT_OF_FILE, PROBLEM_REFCOUNT_TOO_LOW,
		PROBLEM_REFCOUNT_ZERO,		  PROBLEM_REFCOUNT_OVERFLOW,
		PROBLEM_LEAKED_CLUSTER,
	};

	repair_say(r, "Rebuilding refcount structure");
	if (order != r->geom.refcount_order)
		repair_say(r, "refcounts of %u bits are too narrow for this image: they get %u bits",
			   1u << r->geom.refcount_order, 1u << order);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i] != PROBLEM_LEAKED_CLUSTER || repair_may_free(r))
			repair_fixed_many(r, kinds[i], r->found.kinds[kinds[i]]);
	repair_fixed_many(r, PROBLEM_METADATA_OVERLAP, r->check.refcounts_crossed);
}

static int place_find(struct repair *r, struct refcount_rebuild *b, struct err *e)
{
	uint64_t host = 0, before;

	/* Where it is put decides how large it is. */
	do {
		before = b->blocks + b->table_clusters;
		r->next = 0;
		if (repair_take(r, MAX(before, 1), &host, e) < 0)
			return -1;
		b->first = host >> r->geom.cluster_bits;
		if (refcount_rebuild_plan(b, e) < 0)
			return -1;
	} while (b->blocks + b->table_clusters > before);
	return 0;
}

static int rebuild(struct repair *r, uint64_t largest, struct err *e)
{
	struct refcount_rebuild b = { .file = r->file,
				      .geom = &r->geom,
				      .order = order_for(r, largest),
				      .counts = &r->check.expected,
				      .watch = r->options->watch };

	refcounts_told(r, b.order);
	/* Either is not what it should be: who counted may have written over data. */
	if ((r->disk_lies_on & (1u << WALK_REFCOUNT_TABLE | 1u << WALK_REFCOUNT_BLOCK)) &&
	    repair_disk_changes(r, e) < 0)
		return -1;
	if (repair_forget_refcounts(r, e) < 0 || kept_add(r, b.order, e) < 0 || place_find(r, &b, e) < 0 ||
	    repair_begin_write(r, e) < 0 || refcount_rebuild_write(&b, e) < 0)
		return -1;
	r->header.refcount_table_off = b.table_off;
	r->header.refcount_table_clusters = b.table_clusters;
	r->header.refcount_order = b.order;
	if (repair_header(r, HEADER_REFCOUNTS, e) < 0)
		return -1;
	r->geom = header_geom(&r->header);
	return 0;
}

int repair_counts(struct repair *r, struct err *e)
{
	uint64_t largest;
	bool no_block;

	look_for_room(r, &no_block, &largest);
	if (largest > geom_refcount_max(&r->geom) && r->geom.version < 3) {
		if (!r->told_narrow)
			repair_say(r, "refcounts are too narrow for this image, and in version 2 they "
				      "cannot be wider");
		r->told_narrow = true;
		largest = geom_refcount_max(&r->geom);
	}
	if (!no_block && largest <= geom_refcount_max(&r->geom) && !repair_refcounts_lost(r))
		return repair_raise(r, e);
	return rebuild(r, largest, e);
}
