/* Which L1 entry of the active disk led to an orphan. No single sign is sure; each is worth a
 * score, and the best one counts. */
#include "ops/orphans_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/vec.h"
#include "format/l1_entry.h"

/* What a sign is worth, of 100. */
#define SCORE_DATA_FILE	    100
#define SCORE_SNAPSHOT_HAS  98
#define SCORE_SNAPSHOT_LIKE 95
#define SCORE_BROKEN	    95
#define SCORE_ONLY_PLACE    90
#define SCORE_IN_ORDER	    85
#define SCORE_NO_OTHER	    95 /* there is one orphan, and one place on all of the disk */
#define SCORE_UNSURE	    60 /* the last two, where tables don't lie in order */
#define SCORE_MANY_PLACES   60 /* divided by their number */

/* Tables lie in the order of the disk if so many pairs of neighbours do, and 9 of 10 of them. */
#define ORDER_PAIRS_MIN 4

#define BROKEN_BITS 3	   /* that a damaged entry may differ in */
#define NEIGHBOURS_MAX ((size_t)1 << 20)
#define COMPARED_MAX   ((size_t)512) /* orphans whose samples are compared with snapshots */

/* An L1 entry of the active disk that leads to a table, or to none though it may have. */
struct slot {
	uint64_t host; /* of the table; 0: the slot is free */
	uint64_t raw;
	uint32_t idx;
	bool leads_astray; /* free: to another table, or to none */
	bool is_zeroed;	   /* free: it leads to a table without entries, and may go on to */
	bool kept;	   /* of those that lead to one table */
};

struct place {
	struct check *check;
	struct orphans *out;
	struct slot *tables; /* by host offset */
	size_t table_nr, table_room;
	struct slot *free; /* by index: empty or broken */
	size_t free_nr, free_room;
	uint64_t seen; /* L1 entries so far */
	bool in_order; /* tables lie in the file as they do on the disk */
	bool cut;      /* not all are known */
};

/* First free slot with an index of at least idx. */
static size_t free_from(const struct place *p, uint64_t idx)
{
	return vec_below(p->free, p->free_nr, idx, idx);
}

static bool is_free(const struct place *p, uint32_t idx)
{
	size_t at = free_from(p, idx);

	return at < p->free_nr && p->free[at].idx == idx;
}

static void sign(struct place *p, struct orphan *o, uint32_t idx, unsigned score,
		 enum orphan_reason why)
{
	const struct geom *g = p->check->geom;
	uint64_t guest = (uint64_t)idx << geom_l2_span_bits(g);
	uint64_t last = guest + ((uint64_t)o->last_idx << g->cluster_bits);

	/* What it maps must lie on the disk. */
	if (score <= o->place_score || last >= g->disk_size)
		return;
	o->place_score = (uint8_t)score;
	o->reason = why;
	o->l1_idx = idx;
	const struct slot *slot = is_free(p, idx) ? &p->free[free_from(p, idx)] : NULL;

	o->slot_broken = slot && slot->raw && !slot->is_zeroed;
	o->guest = guest;
	o->guest_len = MIN(UINT64_C(1) << geom_l2_span_bits(g), g->disk_size - guest);
}

/* --- the active L1 table --- */

static bool is_zeroed(const struct place *p, uint32_t idx)
{
	size_t at = vec_below(p->out->zeroed, p->out->zeroed_nr, l1_idx, idx);

	return at < p->out->zeroed_nr && p->out->zeroed[at].l1_idx == idx;
}

static int slot_add(struct place *p, struct slot **list, size_t *nr, size_t *room,
		    const struct slot *x, struct err *e)
{
	if (*nr >= NEIGHBOURS_MAX) {
		p->cut = true;
		return 0;
	}
	if (!vec_grow(list, *nr, room))
		return err_nomem(e);
	(*list)[(*nr)++] = *x;
	return 0;
}

/* Parts of the L1 table without any entry are not handed over: all of that is free. */
static int empty_to(struct place *p, uint64_t end, struct err *e)
{
	for (; p->seen < end && !p->cut; p->seen++) {
		struct slot x = { .idx = (uint32_t)p->seen };

		if (slot_add(p, &p->free, &p->free_nr, &p->free_room, &x, e) < 0)
			return -1;
	}
	return 0;
}

static int on_active_part(void *arg, const struct walk_l1_part *part, struct err *e)
{
	struct place *p = arg;
	struct check *c = p->check;
	uint64_t need = geom_l1_entries(c->geom, c->geom->disk_size);

	if (part->owner.kind != WALK_ACTIVE)
		return 0;
	if (empty_to(p, MIN(part->first, need), e) < 0)
		return -1;
	for (uint32_t i = 0; i < part->nr && part->first + i < need; i++, p->seen++) {
		struct slot x = { .raw = be64_get(part->bytes + i * 8), .idx = part->first + i };
		x.is_zeroed = is_zeroed(p, x.idx);
		bool leads = walk_l2_followed(c->walk, x.raw, &x.host) &&
			     !check_found_foreign(c, x.host) && !x.is_zeroed;

		x.leads_astray = leads && !orphan_slot_is_sound(c, x.host);
		leads &= !x.leads_astray;
		if (!leads)
			x.host = 0;
		if (leads ? slot_add(p, &p->tables, &p->table_nr, &p->table_room, &x, e) < 0
			  : slot_add(p, &p->free, &p->free_nr, &p->free_room, &x, e) < 0)
			return -1;
	}
	return 0;
}

static int host_order(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

static int idx_order(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

/* Whether an orphan lies between this table and the next one. */
static bool orphan_follows(const struct place *p, size_t end)
{
	uint64_t from = p->tables[end - 1].host;
	uint64_t to = end < p->table_nr ? p->tables[end].host : UINT64_MAX;
	size_t at = vec_below(p->out->list, p->out->nr, host, from);

	return at < p->out->nr && p->out->list[at].host < to;
}

/* Of entries first .. end-1, which lead to one table, the one whose table it is: where its neighbours
 * in the file let it be, and so that there is a place for an orphan that follows. */
static size_t double_keep(const struct place *p, size_t first, size_t end)
{
	uint64_t from = first ? p->tables[first - 1].idx : 0;
	uint64_t to = end < p->table_nr ? p->tables[end].idx : UINT32_MAX;
	bool low = orphan_follows(p, end);
	size_t keep = low ? first : end - 1;

	for (size_t i = first; i < end; i++) {
		size_t k = low ? end - 1 - (i - first) : i;

		if ((!first || p->tables[k].idx > from) && p->tables[k].idx < to)
			keep = k;
	}
	return keep;
}

/* Entries that lead to the table of another one, which is not counted for them: their own may be among
 * the orphans. */
static int doubles_free(struct place *p, struct err *e)
{
	size_t kept = 0, end;

	if (p->table_nr > 1)
		qsort(p->tables, p->table_nr, sizeof *p->tables, host_order);
	for (size_t i = 0; i < p->table_nr; i = end) {
		for (end = i + 1; end < p->table_nr && p->tables[end].host == p->tables[i].host;)
			end++;
		bool crowded = end - i > 1 && orphan_table_is_crowded(p->check, p->tables[i].host);
		size_t keep = crowded ? double_keep(p, i, end) : i;

		for (size_t k = i; k < end; k++) {
			struct slot x = p->tables[k];

			if (!crowded || k == keep)
				continue;
			x.host = 0;
			x.leads_astray = true;
			if (slot_add(p, &p->free, &p->free_nr, &p->free_room, &x, e) < 0)
				return -1;
		}
		if (crowded)
			p->tables[keep].kept = true;
		for (size_t k = i; !crowded && k < end; k++)
			p->tables[k].kept = true;
	}
	for (size_t i = 0; i < p->table_nr; i++)
		if (p->tables[i].kept)
			p->tables[kept++] = p->tables[i];
	p->table_nr = kept;
	if (p->free_nr > 1)
		qsort(p->free, p->free_nr, sizeof *p->free, idx_order);
	return 0;
}

static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	struct place *p = arg;

	p->cut |= f->bad == WALK_BAD_READ;
	return 0;
}

/* --- signs of their own --- */

/* One flipped bit, or a few, between what stands there and what should; where several entries come as
 * near, that is chance. */
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
		sign(p, o, p->free[best].idx,
		     nr > 1 ? SCORE_UNSURE : SCORE_BROKEN - 5 * (unsigned)(least - 1),
		     ORPHAN_BROKEN_ENTRY);
}

/* A damaged entry that comes near by chance: the order of the file knows a place for each, or lets none
 * be there. */
static void chance_judge(struct place *p, struct orphan *o, bool in_gap, bool all_fit, uint32_t idx)
{
	if (o->reason != ORPHAN_BROKEN_ENTRY || !o->place_score)
		return;
	if (all_fit && o->l1_idx != idx)
		o->place_score = 0;
	else if (!in_gap && p->in_order)
		o->place_score = MIN(o->place_score, SCORE_UNSURE);
}

static int data_file_judge(struct place *p, struct orphan *o)
{
	const struct geom *g = p->check->geom;

	if (!g->data_file || !o->sample_nr)
		return 0;
	uint64_t guest = o->samples[0].raw & ENTRY_OFFSET_MASK;
	uint32_t idx = (uint32_t)geom_l1_index(g, guest);

	if (geom_l2_index(g, guest) == o->samples[0].idx && is_free(p, idx))
		sign(p, o, idx, SCORE_DATA_FILE, ORPHAN_DATA_FILE);
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

		if (walk_l2_followed(p->check->walk, be64_get(part->bytes + i * 8), &host) &&
		    is_free(p, part->first + i))
			o = orphan_at(p->out, host);
		if (o)
			sign(p, o, part->first + i, SCORE_SNAPSHOT_HAS, ORPHAN_SNAPSHOT_HAS);
	}
	return 0;
}

/* Old states of a table map mostly the same clusters at the same places. */
static int on_snapshot_table(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct place *p = arg;
	const struct geom *g = p->check->geom;

	if (at->owner.kind != WALK_SNAPSHOT || !is_free(p, at->l1_idx))
		return 0;
	for (size_t i = 0; i < p->out->nr && i < COMPARED_MAX; i++) {
		struct orphan *o = &p->out->list[i];
		unsigned same = 0;

		for (unsigned k = 0; k < o->sample_nr; k++)
			same += (l2_entry_at(g, at->bytes, o->samples[k].idx).raw & ~ENTRY_COPIED) ==
				o->samples[k].raw;
		if (same && same * 2 >= o->sample_nr)
			sign(p, o, at->l1_idx, SCORE_SNAPSHOT_LIKE, ORPHAN_SNAPSHOT_LIKE);
	}
	return 0;
}

/* --- the order of the file --- */

/* The table with the largest offset below `host`, or else SIZE_MAX. */
static size_t neighbour_below(const struct place *p, uint64_t host)
{
	size_t at = vec_below(p->tables, p->table_nr, host, host);

	return at ? at - 1 : SIZE_MAX;
}

/* Orphans first .. first+nr-1 lie between the same neighbours. Where tables were made in the order
 * of the disk, their entries do, too. */
static void gap_judge(struct place *p, size_t first, size_t nr, size_t below)
{
	const struct geom *g = p->check->geom;
	uint64_t from = below == SIZE_MAX ? 0 : (uint64_t)p->tables[below].idx + 1;
	size_t above = below == SIZE_MAX ? 0 : below + 1;
	uint64_t to = above < p->table_nr ? p->tables[above].idx
					  : geom_l1_entries(g, g->disk_size);
	size_t at = free_from(p, from), end = from < to ? free_from(p, to) : at;
	size_t places = end - at, broken = 0;

	/* Broken entries are better places than empty ones. */
	for (size_t i = at; i < end; i++)
		broken += p->free[i].raw != 0;
	if (broken)
		places = broken;
	for (size_t i = 0; i < places && i < nr; i++, at++) {
		struct orphan *o = &p->out->list[first + i];
		const struct slot *s;

		while (broken && !p->free[at].raw)
			at++;
		s = &p->free[at];
		chance_judge(p, o, o->l1_idx >= from && o->l1_idx < to, places == nr, s->idx);
		if (p->free_nr == 1 && p->out->nr == 1)
			sign(p, o, s->idx, SCORE_NO_OTHER, ORPHAN_ONLY_PLACE);
		else if (places == 1 && nr == 1)
			sign(p, o, s->idx, p->in_order ? SCORE_ONLY_PLACE : SCORE_UNSURE,
			     ORPHAN_ONLY_PLACE);
		else if (places == nr)
			sign(p, o, s->idx, p->in_order ? SCORE_IN_ORDER : SCORE_UNSURE,
			     ORPHAN_IN_ORDER);
		else
			sign(p, o, s->idx, (unsigned)(SCORE_MANY_PLACES / places) + 1,
			     ORPHAN_MANY_PLACES);
	}
}

static bool lie_in_order(const struct place *p)
{
	size_t rising = 0, pairs = p->table_nr ? p->table_nr - 1 : 0;

	for (size_t i = 0; i < pairs; i++)
		rising += p->tables[i].idx < p->tables[i + 1].idx;
	return pairs >= ORDER_PAIRS_MIN && rising >= pairs - pairs / 10;
}

static void gaps_judge(struct place *p)
{
	struct orphans *out = p->out;

	if (p->cut)
		return;
	p->in_order = lie_in_order(p);
	for (size_t i = 0, n; i < out->nr; i += n) {
		size_t below = neighbour_below(p, out->list[i].host);

		for (n = 1; i + n < out->nr; n++)
			if (neighbour_below(p, out->list[i + n].host) != below)
				break;
		gap_judge(p, i, n, below);
	}
}

/* --- all of it --- */

/* Where two want one place, neither is sure. */
static void rivals_judge(struct orphans *out)
{
	for (size_t i = 0; i < out->nr; i++) {
		struct orphan *a = &out->list[i];
		bool rival = false;

		for (size_t k = 0; k < out->nr && !rival; k++)
			rival = k != i && out->list[k].place_score && a->place_score &&
				out->list[k].l1_idx == a->l1_idx &&
				out->list[k].place_score + 10 > a->place_score;
		a->confidence = (uint8_t)(a->table_score * a->place_score / 100 / (rival ? 2 : 1));
		/* Clusters that others own can't go back with it. */
		if (a->agree < a->used)
			a->confidence = MIN(a->confidence, ORPHAN_CONFIDENCE - 1);
	}
}

static int walk_once(struct place *p, const struct walk_ops *ops, bool tables, struct err *e)
{
	struct walk *w = check_walk_again(p->check, ops, p, e);
	int ret = !w ? -1 : tables ? walk_trees(w, e) : walk_l1_tables(w, e);

	walk_free(w);
	return ret;
}

int orphans_place(struct check *c, struct orphans *o, struct err *e)
{
	static const struct walk_ops active_ops = { .l1_part = on_active_part,
						    .fault = on_fault };
	static const struct walk_ops snapshot_ops = { .l1_part = on_snapshot_part,
						      .l2_table = on_snapshot_table };
	struct place p = { .check = c, .out = o };
	int ret = -1;

	if (!o->nr)
		return 0;
	if (walk_once(&p, &active_ops, false, e) < 0 ||
	    empty_to(&p, geom_l1_entries(c->geom, c->geom->disk_size), e) < 0 ||
	    doubles_free(&p, e) < 0 ||
	    walk_once(&p, &snapshot_ops, true, e) < 0)
		goto out;
	for (size_t i = 0; i < o->nr; i++) {
		broken_compare(&p, &o->list[i]);
		data_file_judge(&p, &o->list[i]);
	}
	gaps_judge(&p);
	rivals_judge(o);
	ret = 0;
out:
	free(p.tables);
	free(p.free);
	return ret;
}
