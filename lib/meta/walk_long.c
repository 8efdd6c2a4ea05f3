/* L1 tables of snapshots with more entries than disk and VM state take. A count that is too large by a
 * bit has the table reach over what lies behind it, and costs nothing as long as nobody looks there. */
#include "meta/walk_internal.h"

#include <string.h>

#include "base/align.h"
#include "base/bytes.h"
#include "format/l1_entry.h"

/* Of all such tables together: a hostile image could name the same bytes again and again. */
#define LONG_READ_MAX (UINT64_C(64) << 20)

uint32_t walk_l1_need(const struct geom *g, const struct snapshot_entry *s)
{
	uint64_t nr = geom_l1_entries(g, s->disk_size) + geom_l1_entries(g, s->vm_state_len);

	return s->has_disk_size && nr <= L1_BYTES_MAX / 8 ? (uint32_t)nr : 0;
}

/* What entries say: */
struct look {
	uint64_t from, to; /* host bytes that are in question */
	bool unsound;	   /* one is neither zero nor leads to where an L2 table can be */
	bool inside;	   /* one leads to where is in question */
};

/* Entries first .. end-1. What can't be read says nothing. */
static void entries_look(struct walk *w, const struct walk_tree *t, uint32_t first, uint32_t end,
			 struct look *l)
{
	struct err why = ERR_INIT;
	uint64_t host;
	uint32_t n;
	bool empty;

	for (uint32_t at = first; at < end && !l->unsound && !l->inside; at += n) {
		n = (uint32_t)MIN(end - at, WALK_BUFFER / 8);
		w->long_read += n * UINT64_C(8);
		if (w->long_read > LONG_READ_MAX ||
		    walk_try(w, t->l1_off + at * UINT64_C(8), w->buf, n * (size_t)8, &empty, &why) < 0)
			return;
		for (uint32_t i = 0; i < n && !empty; i++) {
			uint64_t raw = be64_get(w->buf + i * (size_t)8);

			if (!raw)
				continue;
			bool followed = walk_l2_followed(w, raw, &host);

			l->unsound |= !followed || l1_entry_decode(raw).reserved;
			l->inside |= host >= l->from && host < l->to;
		}
	}
}

uint32_t walk_l1_needed(const struct walk *w, const struct walk_tree *t)
{
	const struct geom *g = w->src.geom;
	uint64_t need = t->owner.kind == WALK_SNAPSHOT && t->owner.idx < w->snapshot_nr
				? w->snapshots[t->owner.idx].l1_need
				: geom_l1_entries(g, g->disk_size);

	return (uint32_t)MIN(need, t->l1_nr);
}

/* Whether an L2 table of anybody lies in from .. to-1. */
static bool has_l2_table(struct walk *w, uint64_t from, uint64_t to)
{
	struct look l = { .from = from, .to = to };

	for (size_t i = 0; i < w->tree_nr && !l.inside; i++) {
		l.unsound = false;
		entries_look(w, &w->trees[i], 0, walk_l1_needed(w, &w->trees[i]), &l);
	}
	return l.inside;
}

/* Whether another L1 table lies in the clusters from `end` on that t claims. */
static bool reaches_another(const struct walk *w, size_t tree, uint64_t end, const struct walk_tree *active)
{
	const struct walk_tree *t = &w->trees[tree], *next = t + 1, *all_end = w->trees + w->tree_nr;
	uint64_t claimed = t->l1_off + t->l1_nr * UINT64_C(8);

	while (next < all_end && (next->l1_off == t->l1_off || !next->l1_nr))
		next++;
	return (next < all_end && next->l1_off >= end && next->l1_off < claimed) ||
	       (active->l1_nr && active->l1_off >= end && active->l1_off < claimed);
}

static bool is_long(struct walk *w, size_t tree, uint32_t need, const struct walk_tree *active)
{
	const struct walk_tree *t = &w->trees[tree];
	uint64_t claimed = t->l1_nr * UINT64_C(8);
	uint64_t end = align_up(t->l1_off + need * UINT64_C(8), geom_cluster_size(w->src.geom));
	struct look first = { 0 }, rest = { 0 };

	if (!walk_in_file(w, t->l1_off, need * UINT64_C(8)))
		return false;
	entries_look(w, t, 0, need, &first);
	if (first.unsound)
		return false;
	if (claimed > L1_BYTES_MAX || !walk_in_file(w, t->l1_off, claimed) ||
	    reaches_another(w, tree, end, active))
		return true;
	if (t->l1_off + claimed > end &&
	    ((w->ops->taken && w->ops->taken(w->arg, end, t->l1_off + claimed - end)) ||
	     has_l2_table(w, end, t->l1_off + claimed)))
		return true;
	entries_look(w, t, need, t->l1_nr, &rest);
	return rest.unsound;
}

int walk_l1_shorten(struct walk *w, size_t tree, const struct walk_tree *active, struct err *e)
{
	struct walk_tree *t = &w->trees[tree];
	struct walk_fault f = { .what = WALK_L1_TABLE,
				.bad = WALK_BAD_LONG,
				.owner = t->owner,
				.value = t->l1_nr,
				.host = t->l1_off };

	if (t->active || t->owner.kind != WALK_SNAPSHOT || t->owner.idx >= w->snapshot_nr)
		return 0;
	struct walk_snapshot *s = &w->snapshots[t->owner.idx];

	if (!s->l1_need || t->l1_nr <= s->l1_need)
		return 0;
	if (!is_long(w, tree, s->l1_need, active)) {
		if (t->l1_nr <= L1_BYTES_MAX / 8)
			return 0;
		t->l1_nr = 0; /* what is too large, and can't be cut, is not followed */
		s->followed = false;
		f.bad = WALK_BAD_SIZE;
		return walk_report(w, &f, e);
	}
	t->l1_nr = s->l1_nr = s->l1_need;
	s->shortened = true;
	return walk_report(w, &f, e);
}
