/* Which L1 entry of the active disk led to an orphan. No single sign is sure; each is worth a
 * score, and the best one counts. Here: what the order of tables in the file tells. */
#include "ops/orphans_place_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/vec.h"

/* Tables lie in the order of the disk if so many pairs of neighbours do, and 9 of 10 of them. */
#define ORDER_PAIRS_MIN 4

size_t place_free_from(const struct place *p, uint64_t idx)
{
	return vec_below(p->free, p->free_nr, idx, idx);
}

bool place_is_free(const struct place *p, uint32_t idx)
{
	size_t at = place_free_from(p, idx);

	return at < p->free_nr && p->free[at].idx == idx;
}

void place_sign(struct place *p, struct orphan *o, uint32_t idx, unsigned score,
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
	const struct slot *slot = place_is_free(p, idx) ? &p->free[place_free_from(p, idx)] : NULL;

	o->slot_broken = slot && slot->raw && !slot->is_zeroed;
	o->guest = guest;
	o->guest_len = MIN(UINT64_C(1) << geom_l2_span_bits(g), g->disk_size - guest);
}

int place_walk(struct place *p, const struct walk_ops *ops, bool tables, struct err *e)
{
	struct walk *w = check_walk_again(p->check, ops, p, e);
	int ret = !w ? -1 : tables ? walk_trees(w, e) : walk_l1_tables(w, e);

	walk_free(w);
	return ret;
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
	size_t at = place_free_from(p, from), end = from < to ? place_free_from(p, to) : at;
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
			place_sign(p, o, s->idx, SCORE_NO_OTHER, ORPHAN_ONLY_PLACE);
		else if (places == 1 && nr == 1)
			place_sign(p, o, s->idx, p->in_order ? SCORE_ONLY_PLACE : SCORE_UNSURE,
			     ORPHAN_ONLY_PLACE);
		else if (places == nr)
			place_sign(p, o, s->idx, p->in_order ? SCORE_IN_ORDER : SCORE_UNSURE,
			     ORPHAN_IN_ORDER);
		else
			place_sign(p, o, s->idx, (unsigned)(SCORE_MANY_PLACES / places) + 1,
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

int orphans_place(struct check *c, struct orphans *o, struct err *e)
{
	struct place p = { .check = c, .out = o };
	int ret = 0;

	if (!o->nr)
		return 0;
	if (place_slots_find(&p, e) < 0 || place_signs_find(&p, e) < 0) {
		ret = -1;
	} else {
		gaps_judge(&p);
		rivals_judge(o);
	}
	free(p.tables);
	free(p.free);
	return ret;
}
