/* What tells where an orphan belongs, beside the order of the file: an entry that is its
 * offset but for a few bits, its own entries in an image with a data file, snapshots. */
#include "ops/orphans_place_internal.h"

#include "base/vec.h"
#include "format/l1_entry.h"

#define BROKEN_BITS 3              /* that a damaged entry may differ in */
#define COMPARED_MAX ((size_t)512) /* orphans whose samples are compared with snapshots */

/* One flipped bit, or a few, between what stands there and what should; where several
 * entries come as near, that is chance. */
static void broken_compare(struct place *p, struct orphan *o)
{
	int least = BROKEN_BITS + 1;
	size_t nr = 0, best = 0;

	for (size_t i = 0; i < p->free_nr; i++) {
		uint64_t differ = (p->free[i].raw & ~ENTRY_COPIED) ^ o->host;
		int bits = __builtin_popcountll(differ);

		if (!p->free[i].raw || p->free[i].leads_astray || !bits || bits > least)
			continue;
		nr = bits < least ? 1 : nr + 1;
		best = i;
		least = bits;
	}
	if (least <= BROKEN_BITS)
		place_sign(p, o, p->free[best].idx,
			   nr > 1 ? SCORE_UNSURE : SCORE_BROKEN - 5 * (unsigned)(least - 1),
			   ORPHAN_BROKEN_ENTRY);
}

static int data_file_judge(struct place *p, struct orphan *o)
{
	const struct geom *g = p->check->geom;

	if (!g->data_file || !o->sample_nr)
		return 0;
	uint64_t guest = o->samples[0].raw & ENTRY_OFFSET_MASK;
	uint32_t idx = (uint32_t)geom_l1_index(g, guest);

	if (geom_l2_index(g, guest) == o->samples[0].idx && place_is_free(p, idx))
		place_sign(p, o, idx, SCORE_DATA_FILE, ORPHAN_DATA_FILE);
	return 0;
}

/* --- snapshots --- */

static struct orphan *orphan_at(const struct orphans *out, uint64_t host)
{
	size_t at = vec_below(out->list, out->nr, host, host);

	return at < out->nr && out->list[at].host == host ? &out->list[at] : NULL;
}

static int on_snapshot_part(void *arg, const struct walk_l1_part *part, struct err *e)
{
	struct place *p = arg;
	uint64_t host;

	for (uint32_t i = 0; part->owner.kind == WALK_SNAPSHOT && i < part->nr; i++) {
		struct orphan *o = NULL;

		if (walk_l2_followed(p->check->walk, be64_get(part->bytes + i * 8),
				     &host) &&
		    place_is_free(p, part->first + i))
			o = orphan_at(p->out, host);
		if (o)
			place_sign(p, o, part->first + i, SCORE_SNAPSHOT_HAS,
				   ORPHAN_SNAPSHOT_HAS);
	}
	return 0;
}

/* Old states of a table map mostly the same clusters at the same places. */
static int on_snapshot_table(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct place *p = arg;
	const struct geom *g = p->check->geom;

	if (at->owner.kind != WALK_SNAPSHOT || !place_is_free(p, at->l1_idx))
		return 0;
	for (size_t i = 0; i < p->out->nr && i < COMPARED_MAX; i++) {
		struct orphan *o = &p->out->list[i];
		unsigned same = 0;

		for (unsigned k = 0; k < o->sample_nr; k++)
			same += (l2_entry_at(g, at->bytes, o->samples[k].idx).raw &
				 ~ENTRY_COPIED) == o->samples[k].raw;
		if (same && same * 2 >= o->sample_nr)
			place_sign(p, o, at->l1_idx, SCORE_SNAPSHOT_LIKE,
				   ORPHAN_SNAPSHOT_LIKE);
	}
	return 0;
}

int place_signs_find(struct place *p, struct err *e)
{
	static const struct walk_ops ops = { .l1_part = on_snapshot_part,
					     .l2_table = on_snapshot_table };

	if (place_walk(p, &ops, true, e) < 0)
		return -1;
	for (size_t i = 0; i < p->out->nr; i++) {
		broken_compare(p, &p->out->list[i]);
		data_file_judge(p, &p->out->list[i]);
	}
	return 0;
}
