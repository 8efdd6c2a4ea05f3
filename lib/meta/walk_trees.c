/* L1 tables, and the L2 tables that they lead to, in rising host order. */
#include "meta/walk_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/bytes.h"
#include "format/l1_entry.h"

#define REFS_MIN ((size_t)256)

static int ref_order(const void *a, const void *b)
{
	const struct walk_l2_ref *x = a, *y = b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	if (x->tree != y->tree)
		return x->tree < y->tree ? -1 : 1;
	return x->l1_idx < y->l1_idx ? -1 : x->l1_idx > y->l1_idx;
}

/* Sorts, and joins references to the same table. The first one's owner stays. */
static void refs_join(struct walk *w)
{
	size_t n = 0;
	bool sorted = true;

	for (size_t i = 1; i < w->ref_nr && sorted; i++)
		sorted = w->refs[i - 1].host < w->refs[i].host;
	if (sorted)
		return;
	qsort(w->refs, w->ref_nr, sizeof *w->refs, ref_order);
	for (size_t i = 1; i < w->ref_nr; i++) {
		struct walk_l2_ref *last = &w->refs[n];

		if (last->host == w->refs[i].host) {
			last->times += w->refs[i].times;
			last->active_times += w->refs[i].active_times;
			if (last->tree == w->refs[i].tree)
				last->l1_again = w->refs[i].l1_idx;
		} else {
			w->refs[++n] = w->refs[i];
		}
	}
	w->ref_nr = n + 1;
}

/* Room for one more: joins what can be joined, then grows, and in the end leaves the upper
 * half of the file to another pass. */
static int refs_make_room(struct walk *w, struct err *e)
{
	size_t want = w->ref_room ? w->ref_room * 2 : REFS_MIN;

	refs_join(w);
	if (w->ref_nr <= w->ref_room / 2 && w->ref_room)
		return 0;
	if (want <= w->refs_max) {
		struct walk_l2_ref *more = realloc(w->refs, want * sizeof *more);

		if (!more)
			return err_nomem(e);
		w->refs = more;
		w->ref_room = want;
		return 0;
	}
	w->ref_nr /= 2;
	w->until = w->refs[w->ref_nr].host;
	return 0;
}

static int ref_add(struct walk *w, size_t tree, uint32_t l1_idx, uint64_t host,
		   struct err *e)
{
	const struct walk_tree *t = &w->trees[tree];

	if (w->ref_nr == w->ref_room && refs_make_room(w, e) < 0)
		return -1;
	if (host >= w->until)
		return 0;
	w->refs[w->ref_nr++] = (struct walk_l2_ref) {
		.host = host,
		.times = t->times,
		.active_times = t->active,
		.l1_idx = l1_idx,
		.tree = (uint32_t)tree,
	};
	return 0;
}

static int entry_judge(struct walk *w, const struct walk_tree *t, uint64_t place,
		       uint32_t l1_idx, uint64_t raw, struct err *e)
{
	const struct geom *g = w->src.geom;
	struct l1_entry x = l1_entry_decode(raw);
	struct walk_fault f = { .what = WALK_L2_TABLE,
				.bad = WALK_BAD_RESERVED,
				.owner = t->owner,
				.place = place,
				.value = raw,
				.host = x.l2_off,
				.guest = (uint64_t)l1_idx << geom_l2_span_bits(g),
				.guest_len = UINT64_C(1) << geom_l2_span_bits(g) };
	uint64_t host;

	if (x.reserved && walk_report(w, &f, e) < 0)
		return -1;
	if (!x.l2_off || walk_l2_followed(w, raw, &host))
		return 0;
	f.bad = geom_in_cluster(g, x.l2_off) ? WALK_BAD_ALIGNMENT
		: walk_is_root(w, x.l2_off)  ? WALK_BAD_OVERLAP
					     : WALK_BAD_RANGE;
	return walk_report(w, &f, e);
}

static int part_walk(struct walk *w, size_t tree, uint32_t first, uint32_t nr,
		     bool first_pass, struct err *e)
{
	const struct walk_tree *t = &w->trees[tree];
	struct walk_l1_part p = { .owner = t->owner,
				  .place = t->l1_off + first * UINT64_C(8),
				  .first = first,
				  .nr = nr,
				  .times = t->times,
				  .bytes = w->buf };
	uint64_t host;

	if (first_pass && w->ops->l1_part && w->ops->l1_part(w->arg, &p, e) < 0)
		return -1;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t raw = be64_get(w->buf + i * 8);

		if (!raw)
			continue;
		if (first_pass && entry_judge(w, t, p.place + i * 8, first + i, raw, e) < 0)
			return -1;
		if (walk_l2_followed(w, raw, &host) && host >= w->from && host < w->until &&
		    ref_add(w, tree, first + i, host, e) < 0)
			return -1;
	}
	return 0;
}

static int tree_walk(struct walk *w, size_t tree, bool first_pass, struct err *e)
{
	const struct walk_tree *t = &w->trees[tree];
	struct walk_fault f = { .what = WALK_L1_TABLE, .owner = t->owner };
	uint64_t len = t->l1_nr * UINT64_C(8);
	bool empty;

	for (uint64_t at = 0; at < len; at += WALK_BUFFER) {
		size_t n = (size_t)MIN(len - at, WALK_BUFFER);

		f.place = t->l1_off + at;
		if (walk_read(w, f.place, w->buf, n, &f, &empty, e) < 0)
			return -1;
		if (!empty && part_walk(w, tree, (uint32_t)(at / 8), (uint32_t)(n / 8),
					first_pass, e) < 0)
			return -1;
	}
	return 0;
}

int walk_l1_pass(struct walk *w, bool first_pass, struct err *e)
{
	w->ref_nr = 0;
	w->until = UINT64_MAX;
	for (size_t i = 0; i < w->tree_nr; i++)
		if (tree_walk(w, i, first_pass, e) < 0)
			return -1;
	refs_join(w);
	return 0;
}

int walk_l1_tables(struct walk *w, struct err *e)
{
	if (walk_trees_settle(w, e) < 0)
		return -1;
	w->from = UINT64_MAX; /* no L2 table is wanted */
	return walk_l1_pass(w, true, e);
}

int walk_trees(struct walk *w, struct err *e)
{
	bool first_pass = true;

	if (walk_trees_settle(w, e) < 0)
		return -1;
	w->from = 0;
	do {
		if (walk_l1_pass(w, first_pass, e) < 0 || (w->choose && w->choose(w, e) < 0) ||
		    walk_l2_tables(w, e) < 0)
			return -1;
		first_pass = false;
		w->from = w->until;
	} while (w->until != UINT64_MAX);
	return 0;
}
