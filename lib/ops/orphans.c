/* Finds L2 tables that nothing leads to: by what they hold, for nothing else is left. */
#include "ops/orphans_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/vec.h"

/* What is read of each leaked cluster before the rest of it is. */
#define PREFIX ((size_t)4096)
/* Clusters up to this size are read many at once. */
#define SMALL  ((size_t)16 << 10)
#define BUFFER ((size_t)256 << 10)

const char *const orphan_reason_text[ORPHAN_REASONS] = {
	[ORPHAN_NO_PLACE] = "nothing tells which L1 entry led to it",
	[ORPHAN_DATA_FILE] = "its offsets in the data file tell",
	[ORPHAN_SNAPSHOT_HAS] = "a snapshot has this table there",
	[ORPHAN_SNAPSHOT_LIKE] = "a snapshot has a table there that maps the same clusters",
	[ORPHAN_BROKEN_ENTRY] = "a damaged entry differs little from its offset",
	[ORPHAN_ONLY_PLACE] = "its neighbours in the file leave one place",
	[ORPHAN_IN_ORDER] = "as many places as tables, in the order of the file",
	[ORPHAN_MANY_PLACES] = "its neighbours in the file leave several places",
};

void orphans_fini(struct orphans *o)
{
	free(o->list);
	free(o->zeroed);
	free(o->suspect);
	free(o->loose_at);
	*o = (struct orphans) { 0 };
}

bool orphans_explain(const struct orphans *o, uint64_t cluster)
{
	return o->more || (o->suspect && cluster < o->clusters && bit_at(o->suspect, cluster));
}

bool orphans_suspect(const struct orphans *o, uint64_t cluster)
{
	return o->unread || orphans_explain(o, cluster);
}

uint64_t orphan_next_leak(struct check *c, uint64_t from)
{
	for (uint64_t i = from; i < c->clusters; i++) {
		uint64_t page = i >> COUNTS_PAGE_BITS;

		if (c->unreferenced && bit_at(c->unreferenced, i) && !c->expected.low[i])
			return i;
		if (!(i & (COUNTS_PAGE - 1)) && !c->stored.touched[page] && !c->unreferenced) {
			i += COUNTS_PAGE - 1;
			continue;
		}
		if (c->stored.low[i] && !c->expected.low[i] && !check_count_unknown(c, i))
			return i;
	}
	return c->clusters;
}

struct search {
	struct check *check;
	struct orphans *out;
	struct hole_map holes;
	uint8_t *buf; /* BUFFER bytes, or a cluster if that is more */
	uint64_t *scratch;
	uint8_t *tables; /* bit per cluster: an L1 entry leads there */
	uint8_t *active; /* the same: one of the active disk */
};

static int orphan_keep(struct search *s, const struct orphan *o, struct err *e)
{
	struct orphans *out = s->out;

	if (out->nr == ORPHANS_MAX) {
		out->more = true;
		return 0;
	}
	if (!vec_grow(&out->list, out->nr, &out->room))
		return err_nomem(e);
	out->list[out->nr++] = *o;
	return 0;
}

static int table_look(struct search *s, uint64_t host, const uint8_t *table, struct err *e)
{
	struct orphan o;

	return orphan_judge(s->check, host, table, s->scratch, &o) ? orphan_keep(s, &o, e) : 0;
}

/* A cluster of which the beginning is enough, nearly always: leaks are many, tables few. */
static int large_look(struct search *s, uint64_t host, struct err *e)
{
	struct check *c = s->check;
	size_t size = geom_cluster_size(c->geom);
	struct err ignored = ERR_INIT;
	uint8_t *rest = s->buf + PREFIX;

	if (file_read_padded(c->file, host, s->buf, PREFIX, NULL, &ignored) < 0 ||
	    (orphan_may_be_table(c, s->buf, PREFIX) &&
	     file_read_padded(c->file, host + PREFIX, rest, size - PREFIX, NULL, &ignored) < 0)) {
		s->out->unread = true;
		return 0;
	}
	if (!orphan_may_be_table(c, s->buf, PREFIX) || bytes_are_zero(s->buf, size))
		return 0;
	return table_look(s, host, s->buf, e);
}

/* Leaked clusters that adjoin, small enough to be read together. */
static int small_look(struct search *s, uint64_t first, size_t nr, struct err *e)
{
	struct check *c = s->check;
	size_t size = geom_cluster_size(c->geom);
	uint64_t host = first << c->geom->cluster_bits;
	struct err ignored = ERR_INIT;

	if (file_read_padded(c->file, host, s->buf, nr * size, NULL, &ignored) < 0 && nr > 1) {
		for (size_t i = 0; i < nr; i++)
			if (small_look(s, first + i, 1, e) < 0)
				return -1;
		return 0;
	}
	s->out->unread |= err_is(&ignored);
	for (size_t i = 0; i < nr && !err_is(&ignored); i++) {
		const uint8_t *p = s->buf + i * size;

		if (!bytes_are_zero(p, size) && orphan_may_be_table(c, p, MIN(size, PREFIX)) &&
		    table_look(s, host + i * size, p, e) < 0)
			return -1;
	}
	return 0;
}

/* Leaked clusters first .. first+nr-1 that no hole takes: how many of nr there are. */
static int run_look(struct search *s, uint64_t first, uint64_t *nr, struct err *e)
{
	const struct geom *g = s->check->geom;
	uint64_t size = geom_cluster_size(g), host = first << g->cluster_bits, len;
	bool is_data;

	if (host < file_size(s->check->file)) {
		hole_map_next(&s->holes, host, *nr << g->cluster_bits, &is_data, &len);
		*nr = is_data ? div_up(len, size) : MAX(len / size, 1);
		if (!is_data && len >= size)
			return 0;
	}
	if (size <= SMALL) {
		*nr = MIN(*nr, BUFFER / size);
		return small_look(s, first, (size_t)*nr, e);
	}
	*nr = 1;
	return large_look(s, host, e);
}

static int leaks_look(struct search *s, struct err *e)
{
	struct check *c = s->check;
	uint64_t i = orphan_next_leak(c, 0), nr;

	while (i < c->clusters && !s->out->more) {
		for (nr = 1; nr < 256 && orphan_next_leak(c, i + nr) == i + nr;)
			nr++;
		if (watch_stopped(c->options->watch, e) < 0 || run_look(s, i, &nr, e) < 0)
			return -1;
		i = orphan_next_leak(c, i + nr);
	}
	return 0;
}

/* A table for guest data; what the disk has behind its end is the state of a machine. */
static bool is_disk_table(struct search *s, const struct walk_l1_part *p, uint32_t i,
			  uint64_t *host)
{
	const struct geom *g = s->check->geom;

	return (p->owner.kind != WALK_ACTIVE ||
		p->first + i < geom_l1_entries(g, g->disk_size)) &&
	       walk_l2_followed(s->check->walk, be64_get(p->bytes + i * 8), host) &&
	       !check_found_foreign(s->check, *host);
}

static int on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct search *s = arg;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++) {
		if (!is_disk_table(s, p, i, &host))
			continue;
		bit_set(s->tables, check_cluster(s->check, host));
		if (p->owner.kind == WALK_ACTIVE)
			bit_set(s->active, check_cluster(s->check, host));
	}
	return 0;
}

/* The second time: what on_l2_table() has not seen. */
static int on_l1_again(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct search *s = arg;
	struct orphans *out = s->out;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++) {
		if (!is_disk_table(s, p, i, &host) ||
		    !bit_at(s->tables, check_cluster(s->check, host)))
			continue;
		if (p->owner.kind != WALK_ACTIVE) {
			out->zeroed_in_snapshot |= !bit_at(s->active,
							   check_cluster(s->check, host));
			continue;
		}
		if (out->zeroed_nr == ZEROED_MAX) {
			out->more = true;
			return 0;
		}
		if (!vec_grow(&out->zeroed, out->zeroed_nr, &out->zeroed_room))
			return err_nomem(e);
		out->zeroed[out->zeroed_nr++] =
		    (struct zeroed_table) { .host = host, .l1_idx = p->first + i };
	}
	return 0;
}

/* Tables with entries are handed over, in rising order; those without are not. A table that only
 * snapshots have, but that is counted once more, is one that the disk has lost. */
static int on_l2_table(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct search *s = arg;
	struct check *c = s->check;
	uint64_t cluster = check_cluster(c, at->host);
	struct orphan o;

	if (bit_at(s->tables, cluster))
		s->tables[cluster / 8] &= (uint8_t)~(1u << (cluster & 7));
	if (at->active_times || check_count_unknown(c, cluster) ||
	    check_stored(c, cluster) <= counts_get(&c->expected, cluster))
		return 0;
	return orphan_judge(c, at->host, at->bytes, s->scratch, &o) ? orphan_keep(s, &o, e) : 0;
}

/* What the first walk has read may be out of reach now. */
static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	struct search *s = arg;

	(void)e;
	s->out->unread |= f->bad == WALK_BAD_READ;
	return 0;
}

static int tables_look(struct search *s, struct err *e)
{
	static const struct walk_ops ops = { .l1_part = on_l1_part,
					     .l2_table = on_l2_table,
					     .fault = on_fault };
	static const struct walk_ops again = { .l1_part = on_l1_again, .fault = on_fault };
	struct walk *w = check_walk_again(s->check, &ops, s, e);
	int ret = w ? walk_trees(w, e) : -1;

	walk_free(w);
	if (ret < 0)
		return -1;
	w = check_walk_again(s->check, &again, s, e);
	ret = w ? walk_l1_tables(w, e) : -1;
	walk_free(w);
	return ret;
}

static int orphan_order(const void *a, const void *b)
{
	const struct orphan *x = a, *y = b;

	return x->host < y->host ? -1 : x->host > y->host;
}

int orphans_find(struct check *c, struct orphans *o, struct err *e)
{
	struct search s = { .check = c, .out = o, .holes = hole_map_over(c->file) };
	int ret = -1;

	orphans_fini(o);
	if (!c->result->kinds[PROBLEM_LEAKED_CLUSTER] && !c->unreferenced)
		return 0;
	s.buf = malloc(MAX(BUFFER, geom_cluster_size(c->geom)));
	s.scratch = malloc(geom_l2_entries(c->geom) * sizeof *s.scratch);
	s.tables = calloc(c->clusters / 8 + 1, 1);
	s.active = calloc(c->clusters / 8 + 1, 1);
	if (!s.buf || !s.scratch || !s.tables || !s.active) {
		err_nomem(e);
		goto out;
	}
	if (leaks_look(&s, e) < 0 || tables_look(&s, e) < 0)
		goto out;
	if (o->nr > 1)
		qsort(o->list, o->nr, sizeof *o->list, orphan_order);
	if (orphans_place(c, o, e) == 0 && suspects_find(c, o, e) == 0)
		ret = 0;
out:
	free(s.buf);
	free(s.scratch);
	free(s.tables);
	free(s.active);
	return ret;
}
