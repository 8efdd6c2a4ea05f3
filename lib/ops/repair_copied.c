/* COPIED flags of the active disk, as the counts say, which are right by then (5.5). */
#include "ops/repair_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"

struct claims {
	struct repair *repair;
	struct repair_table table; /* a copy of the L2 table at hand */
};

/* Whether a flag is other than it should be; it is not judged where nothing is counted. */
static bool is_wrong(const struct check *c, uint64_t host, bool copied)
{
	uint64_t cluster = check_cluster(c, host);

	if (c->geom->data_file)
		return !copied;
	return cluster < c->clusters && !check_count_unknown(c, cluster) &&
	       (c->stored.low[cluster] == 1) != copied;
}

static void flag_told(struct claims *s, struct finding f, struct walk_owner owner)
{
	struct check *c = &s->repair->check;

	f.has_host = f.has_place = f.has_value = true;
	if (check_cluster(c, f.host) < c->clusters)
		f.refcount = check_stored(c, check_cluster(c, f.host));
	finding_set_owner(c, &f, owner);
	if (check_cluster(c, f.host) < s->repair->clusters || c->geom->data_file)
		repair_fixed(s->repair, &f, NULL);
}

static int on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct claims *s = arg;
	const struct check *c = &s->repair->check;
	unsigned span = geom_l2_span_bits(c->geom);
	uint8_t bytes[8];

	for (uint32_t i = 0; p->owner.kind == WALK_ACTIVE && i < p->nr; i++) {
		uint64_t idx = (uint64_t)p->first + i;
		struct finding f = { .kind = PROBLEM_COPIED_L2_TABLE,
				     .value = be64_get(p->bytes + i * UINT64_C(8)),
				     .place = p->place + i * UINT64_C(8),
				     .idx = idx,
				     .guest = idx << span,
				     .guest_len = UINT64_C(1) << span };
		uint64_t cluster;
		bool copied = f.value & ENTRY_COPIED;

		if (!f.value || !walk_l2_followed(c->walk, f.value, &f.host) ||
		    !repair_may_edit(s->repair, f.place, WALK_L1_TABLE))
			continue;
		cluster = check_cluster(c, f.host);
		if (check_count_unknown(c, cluster) || (c->stored.low[cluster] == 1) == copied)
			continue;
		flag_told(s, f, p->owner);
		be64_put(bytes, f.value ^ ENTRY_COPIED);
		if (repair_write(s->repair, f.place, bytes, sizeof bytes, e) < 0)
			return -1;
	}
	return 0;
}

static void entry_judge(struct claims *s, const struct walk_l2_table *t, uint32_t idx,
			uint64_t host, bool copied)
{
	const struct check *c = &s->repair->check;
	const struct geom *g = c->geom;
	size_t at = (size_t)idx << g->l2_entry_bits;

	if (!is_wrong(c, host, copied))
		return;
	struct finding f = { .kind = PROBLEM_COPIED_DATA,
			     .host = host,
			     .value = be64_get(t->bytes + at),
			     .place = t->host + at,
			     .idx = idx,
			     .guest = ((uint64_t)t->l1_idx << geom_l2_span_bits(g)) +
				      ((uint64_t)idx << g->cluster_bits),
			     .guest_len = geom_cluster_size(g) };

	flag_told(s, f, t->owner);
	repair_table_put(&s->table, at, f.value ^ ENTRY_COPIED);
}

static int on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct claims *s = arg;
	const struct check *c = &s->repair->check;
	uint64_t size = geom_cluster_size(c->geom);
	struct l2_run r;

	if (!t->active_times || check_found_foreign(c, t->host) ||
	    !repair_may_edit(s->repair, t->host, WALK_L2_TABLE))
		return 0;
	memcpy(s->table.bytes, t->bytes, size);
	s->table.host = t->host;
	for (uint32_t from = 0; l2_run_next(&c->scan, t->bytes, from, &r); from = r.idx + r.nr) {
		if (r.kind == L2_RUN_PLAIN) {
			for (uint32_t i = 0; i < r.nr; i++)
				entry_judge(s, t, r.idx + i, r.host + i * size, r.copied);
			continue;
		}
		struct l2_entry x = l2_entry_at(c->geom, t->bytes, r.idx);

		if (x.has_host && !x.packed && !geom_in_cluster(c->geom, x.host))
			entry_judge(s, t, r.idx, x.host, x.copied);
	}
	return repair_table_store(s->repair, &s->table, e);
}

static const struct walk_ops ops = { .l1_part = on_l1_part, .l2_table = on_l2_table };

int repair_copied(struct repair *r, struct err *e)
{
	struct claims s = { .repair = r };

	if (!repair_has(r, PROBLEM_COPIED_DATA) && !repair_has(r, PROBLEM_COPIED_L2_TABLE))
		return 0;
	if (!r->options->all && !repair_only_copied(r))
		return 0;
	s.table.bytes = malloc(geom_cluster_size(&r->geom));
	if (!s.table.bytes)
		return err_nomem(e);
	struct walk *w = repair_walk(r, &ops, &s, e);

	walk_free(w);
	free(s.table.bytes);
	return w ? 0 : -1;
}
