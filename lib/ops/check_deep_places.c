/* Where compressed clusters lie: each place once, sorted by host offset. */
#include "ops/check_deep_internal.h"

#include <stdlib.h>

#define PLACES_MAX ((size_t)2 << 20) /* 48 MiB */
#define PLACES_MIN ((size_t)4 << 10)

static int place_order(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	if (x->host_len != y->host_len)
		return x->host_len < y->host_len ? -1 : 1;
	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	return x->guest < y->guest ? -1 : x->guest > y->guest;
}

static void places_join(struct deep *d)
{
	size_t n = 0;

	if (d->nr < 2)
		return;
	qsort(d->places, d->nr, sizeof *d->places, place_order);
	for (size_t i = 1; i < d->nr; i++)
		if (d->places[i].host != d->places[n].host ||
		    d->places[i].host_len != d->places[n].host_len)
			d->places[++n] = d->places[i];
	d->nr = n + 1;
}

/* Room for one more: joins equal ones, then grows, and in the end leaves the upper half of
 * the file to another pass. */
static int places_make_room(struct deep *d, struct err *e)
{
	size_t want = d->room ? d->room * 2 : PLACES_MIN;

	places_join(d);
	if (d->room && d->nr <= d->room / 2)
		return 0;
	if (want <= PLACES_MAX) {
		struct place *more = realloc(d->places, want * sizeof *more);

		if (!more)
			return err_nomem(e);
		d->places = more;
		d->room = want;
		return 0;
	}
	d->until = d->places[d->nr / 2].host;
	while (d->nr && d->places[d->nr - 1].host >= d->until)
		d->nr--;
	return 0;
}

static int place_add(struct deep *d, const struct walk_l2_table *at, uint32_t idx,
		     const struct l2_entry *x, struct err *e)
{
	const struct geom *g = d->check->geom;

	if (x->host < d->from || x->host >= d->until || l2_packed_offset_bad(g, x->host) ||
	    !walk_in_file(d->check->walk, x->host, x->host_len))
		return 0;
	if (d->nr == d->room && places_make_room(d, e) < 0)
		return -1;
	if (x->host >= d->until)
		return 0;
	d->places[d->nr++] = (struct place) {
		.host = x->host,
		.host_len = x->host_len,
		.guest = ((uint64_t)at->l1_idx << geom_l2_span_bits(g)) +
			 ((uint64_t)idx << g->cluster_bits),
		.owner = at->owner.kind == WALK_SNAPSHOT ? at->owner.idx + 1 : 0,
	};
	return 0;
}

static int on_l2_table(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct deep *d = arg;
	struct l2_run r;

	for (uint32_t from = 0; l2_run_next(&d->check->scan, at->bytes, from, &r);
	     from = r.idx + r.nr) {
		if (r.kind != L2_RUN_ODD)
			continue;
		struct l2_entry x = l2_entry_at(d->check->geom, at->bytes, r.idx);

		if (x.packed && place_add(d, at, r.idx, &x, e) < 0)
			return -1;
	}
	return 0;
}

/* A table that could be read before. */
static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	struct deep *d = arg;

	if (f->bad != WALK_BAD_READ || d->check->result->kinds[PROBLEM_READ_FAILED])
		return 0;
	return check_on_fault(d->check, f, e);
}

int deep_gather(struct deep *d, struct err *e)
{
	static const struct walk_ops ops = { .l2_table = on_l2_table, .fault = on_fault };
	int ret = -1;

	d->nr = d->next = 0;
	d->until = UINT64_MAX;
	struct walk *w = check_walk_again(d->check, &ops, d, e);

	if (w)
		ret = walk_trees(w, e);
	walk_free(w);
	places_join(d);
	return ret;
}
