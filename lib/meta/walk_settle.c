/* Which trees are walked: L1 tables by their place, before any entry of them is believed.
 */
#include "meta/walk_internal.h"

#include <stdlib.h>

#include "base/align.h"

static int tree_order(const void *a, const void *b)
{
	const struct walk_tree *x = a, *y = b;

	if (x->l1_off != y->l1_off)
		return x->l1_off < y->l1_off ? -1 : 1;
	if (x->l1_nr != y->l1_nr)
		return x->l1_nr < y->l1_nr ? -1 : 1;
	if (x->owner.kind != y->owner.kind)
		return x->owner.kind < y->owner.kind ? -1 : 1;
	return x->owner.idx < y->owner.idx ? -1 : x->owner.idx > y->owner.idx;
}

static int owner_order(const void *a, const void *b)
{
	const struct walk_tree *x = a, *y = b;

	if (x->owner.kind != y->owner.kind)
		return x->owner.kind < y->owner.kind ? -1 : 1;
	return x->owner.idx < y->owner.idx ? -1 : x->owner.idx > y->owner.idx;
}

static const struct walk_tree *active_tree(const struct walk *w)
{
	for (size_t i = 0; i < w->tree_nr; i++)
		if (w->trees[i].active)
			return &w->trees[i];
	return NULL;
}

/* Whether t lies across the other, without being the same table. */
static bool lies_across(const struct walk_tree *t, const struct walk_tree *other)
{
	if (t->l1_off == other->l1_off && t->l1_nr == other->l1_nr)
		return false;
	return t->l1_off < other->l1_off + other->l1_nr * UINT64_C(8) &&
	       other->l1_off < t->l1_off + t->l1_nr * UINT64_C(8);
}

static int tree_claim(struct walk *w, const struct walk_tree *t, struct err *e)
{
	struct walk_area a = { .what = WALK_L1_TABLE,
			       .owner = t->owner,
			       .host = t->l1_off,
			       .len = t->l1_nr * UINT64_C(8),
			       .times = 1 };
	struct walk_fault f = { .what = WALK_L1_TABLE,
				.owner = t->owner,
				.value = t->l1_off };
	bool in_file;

	return walk_claim(w, &a, &f, &in_file, e);
}

/* An L1 table of a snapshot where something else is. */
static bool is_taken(struct walk *w, const struct walk_tree *t)
{
	if (t->active || !w->ops->taken ||
	    !walk_in_file(w, t->l1_off, t->l1_nr * UINT64_C(8)) ||
	    !w->ops->taken(w->arg, t->l1_off, t->l1_nr * UINT64_C(8)))
		return false;
	if (t->owner.kind == WALK_SNAPSHOT && t->owner.idx < w->snapshot_nr)
		w->snapshots[t->owner.idx].followed = false;
	return true;
}

/* Where no L2 table can be. Of an L1 table that claims more than the disk takes only so
 * much is sure to be one. */
static int roots_note(struct walk *w, struct err *e)
{
	const struct geom *g = w->src.geom;
	uint64_t need = geom_l1_entries(g, g->disk_size);

	free(w->roots);
	w->root_nr = 0;
	w->roots = calloc(w->tree_nr + 1, sizeof *w->roots);
	if (!w->roots)
		return err_nomem(e);
	w->roots[w->root_nr++] = (struct walk_root) { 0, geom_cluster_size(g) };
	for (size_t i = 0; i < w->tree_nr; i++)
		w->roots[w->root_nr++] =
			(struct walk_root) { w->trees[i].l1_off,
					     w->trees[i].l1_off +
						     MIN(need, w->trees[i].l1_nr) * 8 };
	return 0;
}

/* Trees that are walked, so far. */
struct settled {
	size_t nr;
	uint64_t read_to; /* end of the last one's L1 table */
};

/* A tree, in the order of the L1 tables: it is walked, it is another owner of the table
 * before, or it is in the way of something. */
static int tree_settle(struct walk *w, const struct walk_tree *t,
		       const struct walk_tree *active, struct settled *s, struct err *e)
{
	struct walk_tree *last = s->nr ? &w->trees[s->nr - 1] : NULL;
	struct walk_fault f = { .what = WALK_L1_TABLE,
				.bad = WALK_BAD_OVERLAP,
				.owner = t->owner,
				.value = t->l1_off,
				.host = t->l1_off };

	if (!t->l1_nr)
		return 0;
	if (is_taken(w, t))
		return walk_report(w, &f, e);
	if (!t->active && tree_claim(w, t, e) < 0)
		return -1;
	if (!walk_in_file(w, t->l1_off, 1))
		return 0;
	if (last && last->l1_off == t->l1_off && last->l1_nr == t->l1_nr) {
		last->times++;
		return 0;
	}
	if (t->l1_off < s->read_to || lies_across(t, active))
		return walk_report(w, &f, e);
	s->read_to = t->l1_off + t->l1_nr * UINT64_C(8);
	w->trees[s->nr++] = *t;
	return 0;
}

int walk_trees_settle(struct walk *w, struct err *e)
{
	const struct walk_tree *found = active_tree(w);
	struct walk_tree active = found ? *found : (struct walk_tree) { 0 };
	struct settled settled = { 0 };

	if (active.l1_nr && tree_claim(w, &active, e) < 0)
		return -1;
	if (w->tree_nr > 1)
		qsort(w->trees, w->tree_nr, sizeof *w->trees, tree_order);
	if (walk_l1_disown(w, e) < 0)
		return -1;
	for (size_t i = 0; i < w->tree_nr; i++) {
		if (walk_l1_shorten(w, i, &active, e) < 0)
			return -1;
		struct walk_tree t = w->trees[i]; /* what settles may be put in its place */

		if (tree_settle(w, &t, &active, &settled, e) < 0)
			return -1;
	}
	w->tree_nr = settled.nr;
	if (roots_note(w, e) < 0)
		return -1;
	/* The active disk comes first again, to be named as owner of what is shared. */
	if (w->tree_nr > 1)
		qsort(w->trees, w->tree_nr, sizeof *w->trees, owner_order);
	return 0;
}
