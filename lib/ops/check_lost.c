/* Whether a pointer may have been lost: then what looks leaked may be what it led to. The
 * only place that decides it, for a check that says so and for a repair that would free it.
 */
#include "ops/orphans_internal.h"

#include <string.h>

#include "base/text.h"
#include "format/snapshot_entry.h"

#define NEXT_BYTES 4096 /* that an entry with usual names fits in */

/* Each says that a pointer does not lead where it should; or that of two owners of a
 * cluster one has no right to it, so that its own is missing. What the walk could not
 * follow or read is known before (check_faults.c), and so are structures that overlap, and
 * tables that hold something else. */
static const enum problem_kind kinds[] = {
	PROBLEM_CROSS_LINK,
	PROBLEM_L2_TABLE_TWICE,
	PROBLEM_L2_ENTRY_UNALIGNED,
	PROBLEM_L2_ENTRY_OUT_OF_FILE,
	PROBLEM_COMPRESSED_OFFSET,
	PROBLEM_COMPRESSED_OUT_OF_FILE,
	PROBLEM_L2_ENTRY_UNALIGNED_ZERO,
	/* A flag or a bit that speaks of a cluster, and no offset: it may have been the offset. */
	PROBLEM_COPIED_UNALLOCATED,
	PROBLEM_COPIED_NO_L2_TABLE,
	PROBLEM_SUBCLUSTER_NO_CLUSTER,
	/* Compressed data have no such flag: a cluster that is said to be compressed, and is not. */
	PROBLEM_COPIED_COMPRESSED,
};

/* A count that is lower than the references: one of them may lead to a cluster that is not
 * its own. One that is counted as free tells so only if no writer had counts to catch up
 * with; tables may be new ones of a repair that was cut short. */
static bool is_doubtful(struct check *c, uint64_t cluster)
{
	uint64_t host = c->blocks[cluster >> geom_refcount_block_bits(c->geom)];
	uint64_t stored = check_stored(c, cluster);

	if (!host || host == BLOCK_UNKNOWN || stored >= counts_get(&c->expected, cluster))
		return false;
	return stored ||
	       (counts_get(&c->expected, cluster) == 1 && !bit_at(c->metadata, cluster) &&
		!(c->header->incompatible_features & INCOMPATIBLE_DIRTY));
}

static bool counts_doubtful(struct check *c)
{
	const uint64_t *nr = c->result->kinds;

	if (!nr[PROBLEM_REFCOUNT_TOO_LOW] && !nr[PROBLEM_REFCOUNT_ZERO] &&
	    !nr[PROBLEM_REFCOUNT_OVERFLOW])
		return false;
	for (uint64_t page = 0; page < counts_pages(&c->expected); page++) {
		uint64_t first = page << COUNTS_PAGE_BITS,
			 n = MIN(COUNTS_PAGE, c->clusters - first);
		const uint8_t *expected = c->expected.low + first,
			      *stored = c->stored.low + first;

		if (!c->expected.touched[page] ||
		    (memcmp(expected, stored, n) == 0 && !memchr(expected, COUNTS_BIG, n)))
			continue;
		for (uint64_t i = 0; i < n; i++)
			if (expected[i] && expected[i] >= stored[i] &&
			    is_doubtful(c, first + i))
				return true;
	}
	return false;
}

/* Snapshots that seem never to have been: the header leads to a table of none of them, or
 * an entry leads to no L1 table. */
static bool snapshots_forgotten(const struct check *c)
{
	uint32_t nr;
	const struct walk_snapshot *list = walk_snapshots(c->walk, &nr);

	if (!c->header->nb_snapshots && c->header->snapshots_off)
		return true;
	for (uint32_t i = 0; i < nr; i++)
		if (!list[i].l1_nr && c->geom->disk_size)
			return true;
	return false;
}

/* Whether this is one more snapshot: where its L1 table would be is a leaked cluster. */
static bool is_uncounted(struct check *c, const struct snapshot_entry *x)
{
	return x->l1_off && x->l1_nr && x->id.n && !geom_in_cluster(c->geom, x->l1_off) &&
	       check_cluster(c, x->l1_off) < c->clusters &&
	       orphan_is_leaked(c, check_cluster(c, x->l1_off)) &&
	       !counts_get(&c->expected, check_cluster(c, x->l1_off));
}

/* A snapshot behind the last one that the header counts. */
static bool snapshot_uncounted(struct check *c)
{
	uint8_t bytes[NEXT_BYTES];
	char name[128];
	struct finding f = { .kind = PROBLEM_SNAPSHOT_UNCOUNTED,
			     .has_place = true,
			     .place = walk_snapshots_end(c->walk),
			     .text = name };
	struct rd r = rd_over(bytes, sizeof bytes);
	struct err ignored = ERR_INIT;
	struct snapshot_entry x;

	if (!f.place || f.place >= file_size(c->file) || !c->result->kinds[PROBLEM_LEAKED_CLUSTER])
		return false;
	if (file_read_padded(c->file, f.place, bytes, sizeof bytes, NULL, &ignored) < 0) {
		c->result->unread = true;
		return false;
	}
	if (snapshot_entry_decode(&r, &x, &ignored) < 0 || !is_uncounted(c, &x))
		return false;
	text_escape(x.name.n ? x.name.p : x.id.p, x.name.n ? x.name.n : x.id.n, name, sizeof name);
	check_found(c, &f);
	return true;
}

/* A refcount structure that lies on another one, or on the L1 table of the disk, is what is
 * in the wrong place; any other two of which one has no right to be there had a place of
 * their own. */
void check_lost_overlap(struct check *c, enum walk_what what, enum walk_what other)
{
	bool refcounts = check_is_refcounts(what) || check_is_refcounts(other);

	if (!refcounts || what == WALK_L2_TABLE ||
	    (!check_is_refcounts(other) && what != WALK_L1_TABLE))
		c->result->pointers_lost |= LOST_OTHERS;
}

void check_lost(struct check *c)
{
	unsigned lost = c->result->pointers_lost;
	bool uncounted = snapshot_uncounted(c);

	if (uncounted || snapshots_forgotten(c))
		lost |= LOST_SNAPSHOTS;
	if (!c->options->repairing && counts_doubtful(c))
		lost |= LOST_OTHERS;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (c->result->kinds[kinds[i]])
			lost |= LOST_OTHERS;
	c->result->pointers_lost_now = lost;
	c->result->pointers_lost = lost | c->options->pointers_lost;
}
