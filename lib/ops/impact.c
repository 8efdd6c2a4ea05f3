/* What each finding touches: host clusters, entries, or guest ranges by themselves. Which guest
 * bytes lead to them is for impact_walk.c to find out. */
#include "ops/impact_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/vec.h"
#include "format/l1_entry.h"

enum touch {
	TOUCH_NOTHING,
	TOUCH_CLUSTER, /* whatever leads to the host cluster */
	TOUCH_CLAIM,   /* the same, if the entry claims what isn't so */
	TOUCH_ENTRY,   /* the guest cluster of an L2 entry, in all trees that have its table */
	TOUCH_PACKED,  /* whatever leads to these compressed bytes */
	TOUCH_RANGE,   /* the guest range that the finding names */
	TOUCH_TREE,    /* all of its owner */
	TOUCH_SNAPSHOTS,
	TOUCH_IMAGE,
};

#define RISK(kind, what)   [PROBLEM_##kind] = { TOUCH_##what, IMPACT_AT_RISK }
#define DAMAGE(kind, what) [PROBLEM_##kind] = { TOUCH_##what, IMPACT_DAMAGED }

/* Kinds that are not here touch nothing: leaks, flags that only cost a needless copy, bitmaps.
 * PROBLEM_READ_FAILED: see impact_mark_unread(). Damaged refcount blocks show in the counts of
 * the clusters that they fail to count. */
static const struct {
	uint8_t touch, how;
} table[PROBLEM_KINDS] = {
	RISK(REFCOUNT_TOO_LOW, CLUSTER),
	RISK(REFCOUNT_ZERO, CLUSTER),
	RISK(REFCOUNT_OVERFLOW, CLUSTER),
	RISK(COPIED_L2_TABLE, CLAIM),
	RISK(COPIED_DATA, CLAIM),
	RISK(COPIED_COMPRESSED, ENTRY),
	RISK(COPIED_UNALLOCATED, ENTRY),
	RISK(COPIED_NO_L2_TABLE, RANGE),
	DAMAGE(CROSS_LINK, ENTRY),
	RISK(METADATA_OVERLAP, CLUSTER),
	RISK(L1_ENTRY_RESERVED, RANGE),
	DAMAGE(L1_ENTRY_UNALIGNED, RANGE),
	DAMAGE(L1_ENTRY_OUT_OF_FILE, RANGE),
	DAMAGE(L1_TABLE_OUT_OF_FILE, TREE),
	DAMAGE(L2_TABLE_FOREIGN, CLUSTER),
	RISK(L2_TABLE_TWICE, CLUSTER),
	RISK(L2_ENTRY_RESERVED, ENTRY),
	DAMAGE(L2_ENTRY_ZERO_V2, ENTRY),
	DAMAGE(L2_ENTRY_UNALIGNED, ENTRY),
	DAMAGE(L2_ENTRY_OUT_OF_FILE, ENTRY),
	DAMAGE(COMPRESSED_OFFSET, ENTRY),
	DAMAGE(COMPRESSED_OUT_OF_FILE, ENTRY),
	DAMAGE(COMPRESSED_DATA_FILE, ENTRY),
	RISK(COMPRESSED_BITMAP, ENTRY),
	DAMAGE(COMPRESSED_DATA, PACKED),
	DAMAGE(SUBCLUSTER_BOTH, ENTRY),
	DAMAGE(SUBCLUSTER_NO_CLUSTER, ENTRY),
	DAMAGE(DATA_FILE_OFFSET, ENTRY),
	DAMAGE(DATA_FILE_SHORT, RANGE),
	RISK(REFCOUNT_TABLE_EMPTY, IMAGE),
	RISK(REFCOUNT_TABLE_OUT_OF_FILE, IMAGE),
	DAMAGE(SNAPSHOT_COUNT, SNAPSHOTS),
	DAMAGE(SNAPSHOT_TABLE_UNALIGNED, SNAPSHOTS),
	DAMAGE(SNAPSHOT_TABLE_OUT_OF_FILE, SNAPSHOTS),
	DAMAGE(SNAPSHOT_TABLE_SIZE, SNAPSHOTS),
	DAMAGE(SNAPSHOT_EXTRA_LARGE, SNAPSHOTS),
	DAMAGE(SNAPSHOT_L1_UNALIGNED, TREE),
	DAMAGE(SNAPSHOT_L1_SIZE, TREE),
	DAMAGE(SNAPSHOT_L1_OUT_OF_FILE, TREE),
	DAMAGE(SNAPSHOT_L1_OVERLAP, TREE),
	RISK(SNAPSHOT_L1_LONG, TREE),
	RISK(SNAPSHOT_DATA_FILE, SNAPSHOTS),
	DAMAGE(CRYPTO_HEADER_OUT_OF_FILE, IMAGE),
	DAMAGE(CRYPTO_HEADER_DAMAGED, IMAGE),
	DAMAGE(READ_FAILED, PACKED),
};

int impact_marks_new(struct check *c, struct err *e)
{
	c->marks = calloc(1, sizeof *c->marks);
	return c->marks ? 0 : err_nomem(e);
}

void impact_marks_free(struct impact_marks *m)
{
	if (!m)
		return;
	for (int how = 0; how < IMPACT_HOWS; how++)
		free(m->clusters[how]);
	free(m->entries.marks);
	free(m->packed.marks);
	free(m->direct.ranges);
	free(m);
}

void impact_range_add(struct check *c, struct impact_ranges *to, uint32_t owner,
		      enum impact_how how, uint64_t guest, uint64_t len)
{
	struct impact_range *last = to->nr ? &to->ranges[to->nr - 1] : NULL;

	if (last && last->owner == owner && last->how == how &&
	    last->guest + last->len == guest) {
		last->len += len;
		return;
	}
	if (to->nr >= IMPACT_RANGES_MAX) {
		to->more = true;
		return;
	}
	if (!vec_grow(&to->ranges, to->nr, &to->room)) {
		c->marks->no_memory = true;
		return;
	}
	to->ranges[to->nr++] =
	    (struct impact_range) { .guest = guest, .len = len, .owner = owner, .how = how };
}

static void cluster_mark(struct check *c, enum impact_how how, uint64_t host)
{
	struct impact_marks *m = c->marks;
	uint64_t cluster = check_cluster(c, host);

	if (cluster >= c->clusters)
		return;
	if (!m->clusters[how])
		m->clusters[how] = calloc(c->clusters / 8 + 1, 1);
	if (m->clusters[how])
		bit_set(m->clusters[how], cluster);
	else
		m->no_memory = true;
	m->any = true;
}

/* False when there is no room: the caller is to do without so much detail. */
static bool place_mark(struct check *c, struct impact_marks_list *to, enum impact_how how,
		       uint64_t at)
{
	if (to->nr >= IMPACT_MARKS_MAX)
		return false;
	if (!vec_grow(&to->marks, to->nr, &to->room)) {
		c->marks->no_memory = true;
		return true;
	}
	to->marks[to->nr++] = (struct impact_mark) { at, (uint8_t)how };
	c->marks->any = true;
	return true;
}

/* A cluster whose second use, or wrong count, lets writers do harm: what harm depends on what is
 * in it. */
static void claimed_mark(struct check *c, enum impact_how how, uint64_t host)
{
	uint64_t cluster = check_cluster(c, host);
	bool metadata = cluster < c->clusters && bit_at(c->metadata, cluster);

	switch (metadata ? check_claimed_by(c, cluster) : WALK_GUEST_DATA) {
	case WALK_HEADER:
	case WALK_REFCOUNT_TABLE:
	case WALK_REFCOUNT_BLOCK:
	case WALK_CRYPTO_HEADER:
		c->marks->any = c->marks->whole = true;
		break;
	case WALK_SNAPSHOT_TABLE:
		c->marks->any = c->marks->snapshots = true;
		break;
	case WALK_BITMAP_DIRECTORY:
	case WALK_BITMAP_TABLE:
	case WALK_BITMAP_DATA:
		break;
	default:
		cluster_mark(c, how, host);
	}
}

static uint32_t owner_of(const struct finding *f)
{
	return f->owner == FINDING_SNAPSHOT ? f->owner_idx + 1 : 0;
}

static void range_mark(struct check *c, enum impact_how how, uint32_t owner, uint64_t guest,
		       uint64_t len)
{
	c->marks->any = true;
	impact_range_add(c, &c->marks->direct, owner, how, guest, len);
}

static void place_touched(struct check *c, const struct finding *f, enum touch touch,
			  enum impact_how how)
{
	struct impact_marks *m = c->marks;

	if (touch == TOUCH_ENTRY && !place_mark(c, &m->entries, how, f->place))
		cluster_mark(c, how, f->place);
	if (touch == TOUCH_PACKED && f->guest_len && !place_mark(c, &m->packed, how, f->host))
		cluster_mark(c, how, f->host);
	/* The metadata that guest data lies on may be overwritten with it. */
	if (f->kind == PROBLEM_CROSS_LINK)
		claimed_mark(c, IMPACT_AT_RISK, f->host);
}

void impact_mark(struct check *c, const struct finding *f)
{
	enum touch touch = table[f->kind].touch;
	enum impact_how how = table[f->kind].how;
	struct impact_marks *m = c->marks;

	if (!m)
		return;
	switch (touch) {
	case TOUCH_NOTHING:
		break;
	case TOUCH_CLUSTER:
		claimed_mark(c, how, f->host);
		/* An L2 table on something else: one of the two is not what it was. */
		if (f->kind == PROBLEM_METADATA_OVERLAP && f->guest_len)
			range_mark(c, IMPACT_DAMAGED, owner_of(f), f->guest, f->guest_len);
		break;
	case TOUCH_CLAIM:
		if (f->value & ENTRY_COPIED)
			claimed_mark(c, how, f->host);
		break;
	case TOUCH_ENTRY:
	case TOUCH_PACKED:
		place_touched(c, f, touch, how);
		break;
	case TOUCH_RANGE:
		range_mark(c, how, owner_of(f), f->guest, f->guest_len);
		break;
	case TOUCH_TREE:
		range_mark(c, how, owner_of(f), 0, UINT64_MAX);
		break;
	case TOUCH_SNAPSHOTS:
		m->any = m->snapshots_lost = true;
		break;
	case TOUCH_IMAGE:
		m->any = m->whole = true;
		m->whole_damaged |= how == IMPACT_DAMAGED;
		break;
	}
}

void impact_mark_unread(struct check *c, const struct walk_fault *w)
{
	struct impact_marks *m = c->marks;

	if (!m)
		return;
	switch (w->what) {
	case WALK_L2_TABLE:
		cluster_mark(c, IMPACT_DAMAGED, w->place);
		break;
	case WALK_L1_TABLE:
		range_mark(c, IMPACT_DAMAGED,
			   w->owner.kind == WALK_SNAPSHOT ? w->owner.idx + 1 : 0, 0, UINT64_MAX);
		break;
	case WALK_SNAPSHOT_TABLE:
		m->any = m->snapshots_lost = true;
		break;
	case WALK_REFCOUNT_TABLE:
	case WALK_REFCOUNT_BLOCK:
		m->any = m->whole = true;
		break;
	default:
		break;
	}
}

bool impact_marked(const struct check *c, enum impact_how how, uint64_t first, uint64_t nr)
{
	const uint8_t *bits = c->marks->clusters[how];
	uint64_t end = MIN(first + nr, c->clusters);

	for (uint64_t i = first; bits && i < end; i++) {
		if (i % 8 == 0 && i + 8 <= end && !bits[i / 8])
			i += 7;
		else if (bit_at(bits, i))
			return true;
	}
	return false;
}
