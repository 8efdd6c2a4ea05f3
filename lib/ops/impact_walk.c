/* From what is marked back to the guest: one pass over the L2 tables in host order finds the
 * entries that lead to a mark, one over the L1 tables whose they are. */
#include "ops/impact_internal.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/vec.h"

/* Entries of one L2 table that are touched. */
struct touched {
	uint64_t table; /* host offset */
	uint32_t idx, nr;
	uint8_t how;
};

struct pass {
	struct check *check;
	struct walk *walk;
	struct touched *touched; /* in rising order of tables */
	size_t nr, room;
	struct impact_ranges found;
	uint32_t snapshot_nr;
};
#define TOUCHED_MAX ((size_t)1 << 20) /* 24 MiB */

static int mark_order(const void *a, const void *b)
{
	const struct impact_mark *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void list_sort(struct impact_marks_list *l)
{
	if (l->nr > 1)
		qsort(l->marks, l->nr, sizeof *l->marks, mark_order);
}

/* The first mark at or behind `at`. */
static size_t list_find(const struct impact_marks_list *l, uint64_t at)
{
	return vec_below(l->marks, l->nr, at, at);
}

/* --- the L2 tables --- */

static int touched_add(struct pass *p, uint64_t table, uint32_t idx, uint32_t nr,
		       enum impact_how how, struct err *e)
{
	struct touched *last = p->nr ? &p->touched[p->nr - 1] : NULL;

	if (last && last->table == table && last->how == how &&
	    last->idx + last->nr == idx) {
		last->nr += nr;
		return 0;
	}
	if (p->nr >= TOUCHED_MAX) {
		p->found.more = true;
		return 0;
	}
	if (!vec_grow(&p->touched, p->nr, &p->room))
		return err_nomem(e);
	p->touched[p->nr++] = (struct touched) { table, idx, nr, (uint8_t)how };
	return 0;
}

/* Entries idx .. idx+nr-1 map host clusters first .. first+nr-1. */
static int run_judge(struct pass *p, uint64_t table, uint32_t idx, uint64_t first, uint32_t nr,
		     struct err *e)
{
	for (int how = 0; how < IMPACT_HOWS; how++) {
		if (!impact_marked(p->check, how, first, nr))
			continue;
		for (uint32_t i = 0; i < nr; i++)
			if (impact_marked(p->check, how, first + i, 1) &&
			    touched_add(p, table, idx + i, 1, how, e) < 0)
				return -1;
	}
	return 0;
}

static int packed_judge(struct pass *p, uint64_t table, uint32_t idx, const struct l2_entry *x,
			struct err *e)
{
	const struct impact_marks_list *l = &p->check->marks->packed;
	uint64_t first = check_cluster(p->check, x->host);
	uint64_t last = check_cluster(p->check, x->host + x->host_len - 1);
	size_t i = list_find(l, x->host);

	if (i < l->nr && l->marks[i].at == x->host)
		return touched_add(p, table, idx, 1, l->marks[i].how, e);
	for (int how = IMPACT_HOWS - 1; how >= 0; how--)
		if (impact_marked(p->check, how, first, last - first + 1))
			return touched_add(p, table, idx, 1, how, e);
	return 0;
}

/* Entries that findings have named themselves. */
static int named_judge(struct pass *p, uint64_t table, struct err *e)
{
	const struct geom *g = p->check->geom;
	const struct impact_marks_list *l = &p->check->marks->entries;
	uint64_t end = table + geom_cluster_size(g);

	for (size_t i = list_find(l, table); i < l->nr && l->marks[i].at < end; i++)
		if (touched_add(p, table, (uint32_t)((l->marks[i].at - table) >> g->l2_entry_bits),
				1, l->marks[i].how, e) < 0)
			return -1;
	return 0;
}

static int on_l2_table(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct pass *p = arg;
	struct check *c = p->check;
	struct l2_run r;

	if (impact_marked(c, IMPACT_DAMAGED, check_cluster(c, at->host), 1))
		return 0; /* all of it: see on_l1_part() */
	if (named_judge(p, at->host, e) < 0)
		return -1;
	if (c->geom->data_file)
		return 0; /* its entries lead to another file */
	for (uint32_t from = 0; l2_run_next(&c->scan, at->bytes, from, &r); from = r.idx + r.nr) {
		struct l2_entry x = { .host = r.host };

		if (r.kind == L2_RUN_ODD)
			x = l2_entry_at(c->geom, at->bytes, r.idx);
		if (x.packed ? packed_judge(p, at->host, r.idx, &x, e) < 0
			     : run_judge(p, at->host, r.idx, check_cluster(c, x.host), r.nr, e) < 0)
			return -1;
	}
	return 0;
}

/* --- the L1 tables --- */

/* The first touched run of a table; p->nr if there is none. */
static size_t touched_find(const struct pass *p, uint64_t table)
{
	size_t at = vec_below(p->touched, p->nr, table, table);

	return at < p->nr && p->touched[at].table == table ? at : p->nr;
}

/* An L1 entry by itself: its own cluster, or that of the table it leads to, is marked. */
static bool entry_marked(const struct pass *p, uint64_t place, uint64_t host,
			 enum impact_how *how)
{
	const struct check *c = p->check;

	for (int h = IMPACT_HOWS - 1; h >= 0; h--) {
		*how = h;
		if (impact_marked(c, h, check_cluster(c, place), 1) ||
		    (host && impact_marked(c, h, check_cluster(c, host), 1)))
			return true;
	}
	return false;
}

static int on_l1_part(void *arg, const struct walk_l1_part *part, struct err *e)
{
	struct pass *p = arg;
	const struct geom *g = p->check->geom;
	uint32_t owner = part->owner.kind == WALK_SNAPSHOT ? part->owner.idx + 1 : 0;
	unsigned span = geom_l2_span_bits(g);

	for (uint32_t i = 0; i < part->nr; i++) {
		uint64_t raw = be64_get(part->bytes + i * 8), host;
		uint64_t guest = (uint64_t)(part->first + i) << span;
		enum impact_how how;

		if (!raw)
			continue;
		if (!walk_l2_followed(p->walk, raw, &host))
			host = 0;
		if (entry_marked(p, part->place + i * UINT64_C(8), host, &how))
			impact_range_add(p->check, &p->found, owner, how, guest,
					 UINT64_C(1) << span);
		for (size_t k = touched_find(p, host);
		     k < p->nr && p->touched[k].table == host; k++)
			impact_range_add(p->check, &p->found, owner, p->touched[k].how,
					 guest + ((uint64_t)p->touched[k].idx << g->cluster_bits),
					 (uint64_t)p->touched[k].nr << g->cluster_bits);
	}
	return 0;
}

/* What can't be read now may lead anywhere. */
static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	struct pass *p = arg;

	p->found.more |= f->bad == WALK_BAD_READ;
	return 0;
}

static int trees_pass(struct pass *p, const struct walk_ops *ops,
		      int (*walk)(struct walk *w, struct err *e), struct err *e)
{
	p->walk = check_walk_again(p->check, ops, p, e);
	int ret = p->walk ? walk(p->walk, e) : -1;

	walk_free(p->walk);
	return ret;
}

/* Ranges that need no walk. */
static void direct_take(struct pass *p)
{
	struct check *c = p->check;
	const struct impact_ranges *d = &c->marks->direct;

	p->found.more |= d->more;
	for (size_t i = 0; i < d->nr; i++)
		impact_range_add(c, &p->found, d->ranges[i].owner, d->ranges[i].how,
				 d->ranges[i].guest, d->ranges[i].len);
	for (uint32_t i = 0; c->marks->snapshots && i < p->snapshot_nr; i++)
		impact_range_add(c, &p->found, i + 1, IMPACT_AT_RISK, 0, UINT64_MAX);
}

int impact_find(struct check *c, struct err *e)
{
	static const struct walk_ops l2_ops = { .l2_table = on_l2_table, .fault = on_fault };
	static const struct walk_ops l1_ops = { .l1_part = on_l1_part, .fault = on_fault };
	struct impact_marks *m = c->marks;
	struct impact *out = c->options->impact;
	struct pass p = { .check = c };
	int ret;

	if (!m || !m->any)
		return 0;
	(void)walk_snapshots(c->walk, &p.snapshot_nr);
	list_sort(&m->entries);
	list_sort(&m->packed);
	direct_take(&p);
	out->whole = m->whole;
	out->whole_damaged = m->whole_damaged;
	out->snapshots_lost = m->snapshots_lost;
	ret = trees_pass(&p, &l2_ops, walk_trees, e) < 0 ||
			      trees_pass(&p, &l1_ops, walk_l1_tables, e) < 0
		      ? -1
		      : 0;
	free(p.touched);
	if (ret == 0)
		ret = impact_settle(c, &p.found, e);
	out->more = p.found.more;
	if (ret == 0 && m->no_memory)
		ret = err_nomem(e);
	free(p.found.ranges);
	return ret;
}
