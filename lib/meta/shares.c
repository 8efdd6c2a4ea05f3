/* Who has what. An owner for each host cluster: the one tree that leads to it, or MANY. An L2 table
 * has an owner as well, and what it maps is at most that owner's; so no tree has to be walked by
 * itself, and 10,000 snapshots of a disk cost their L1 tables and what is different in them. */
#include "meta/shares.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/bytes.h"
#include "base/vec.h"
#include "format/l1_entry.h"
#include "format/limits.h"
#include "meta/l2_run.h"

#define NOBODY 0 /* tree i is owner i + 1 */
#define MANY   UINT32_MAX

/* What one L2 table maps that is shared. */
struct table_share {
	uint64_t host, shared;
};

struct shares {
	const struct walk_source *src;
	struct walk *walk;
	struct l2_scan scan;
	uint32_t *owner;
	uint64_t nr; /* host clusters */
	struct table_share *tables; /* rising */
	size_t table_nr, table_room;
	uint64_t l1_read; /* bytes of L1 tables */
};

static uint32_t owner_number(struct walk_owner owner)
{
	return owner.kind == WALK_ACTIVE ? 1 : owner.idx + 1;
}

/* One more tree, or MANY, leads to clusters first .. first+nr-1. */
static void own(struct shares *s, uint64_t first, uint64_t nr, uint32_t who)
{
	uint64_t end = first >= s->nr ? first : first + MIN(nr, s->nr - first);

	for (uint64_t i = first; i < end; i++) {
		uint32_t had = s->owner[i];

		s->owner[i] = had == NOBODY || had == who ? who : MANY;
	}
}

static uint64_t count_shared(const struct shares *s, uint64_t first, uint64_t nr)
{
	uint64_t end = first >= s->nr ? first : first + MIN(nr, s->nr - first), n = 0;

	for (uint64_t i = first; i < end; i++)
		n += s->owner[i] == MANY;
	return n;
}

static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	if (f->bad == WALK_BAD_RESERVED)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "the image is damaged at host offset %#" PRIx64 "; run check first", f->place);
}

static int on_area(void *arg, const struct walk_area *a, struct err *e)
{
	struct shares *s = arg;
	unsigned bits = s->src->geom->cluster_bits;

	own(s, a->host >> bits, geom_clusters(s->src->geom, a->len), owner_number(a->owner));
	return 0;
}

static int on_l1(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct shares *s = arg;
	uint32_t who = p->times > 1 ? MANY : owner_number(p->owner);
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++)
		if (walk_l2_followed(s->walk, be64_get(p->bytes + i * UINT64_C(8)), &host))
			own(s, host >> s->src->geom->cluster_bits, 1, who);
	return 0;
}

/* Clusters that follow each other and are mapped by a table; nr = 0: that was all. */
struct stretch {
	uint32_t from; /* entry to go on at */
	uint64_t first, nr;
	uint64_t packed_end; /* behind the last cluster of the packed one before */
};

static int stretch_next(const struct shares *s, const struct walk_l2_table *at,
			struct stretch *x, struct err *e)
{
	const struct geom *g = s->src->geom;
	struct l2_run r;

	for (x->nr = 0; l2_run_next(&s->scan, at->bytes, x->from, &r); ) {
		x->from = r.idx + r.nr;
		x->first = r.host >> g->cluster_bits;
		x->nr = r.nr;
		if (r.kind == L2_RUN_PLAIN)
			return 0;
		struct l2_entry entry = l2_entry_at(g, at->bytes, r.idx);

		if (l2_entry_unreadable(g, &entry))
			return err_set(e, ERR_CORRUPT,
				       "entry %" PRIu32 " of the L2 table at %#" PRIx64
				       " is damaged; run check first",
				       r.idx, at->host);
		x->first = entry.host >> g->cluster_bits;
		x->nr = entry.has_host;
		if (entry.packed) {
			uint64_t end = ((entry.host + entry.host_len - 1) >> g->cluster_bits) + 1;

			/* The neighbour's last cluster has been counted. */
			x->first += x->packed_end && x->first == x->packed_end - 1;
			x->nr = end - x->first;
			x->packed_end = end;
		}
		if (x->nr)
			return 0;
	}
	x->nr = 0;
	return 0;
}

static int on_l2_own(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct shares *s = arg;
	uint64_t cluster = at->host >> s->src->geom->cluster_bits;
	struct stretch x = { 0 };

	if (s->src->geom->data_file || cluster >= s->nr)
		return 0;
	while (stretch_next(s, at, &x, e) == 0) {
		if (!x.nr)
			return 0;
		own(s, x.first, x.nr, s->owner[cluster]);
	}
	return -1;
}

static int on_l2_count(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct shares *s = arg;
	struct table_share t = { .host = at->host };
	struct stretch x = { 0 };

	for (;;) {
		if (s->src->geom->data_file)
			break;
		if (stretch_next(s, at, &x, e) < 0)
			return -1;
		if (!x.nr)
			break;
		t.shared += count_shared(s, x.first, x.nr);
	}
	if (!vec_grow(&s->tables, s->table_nr, &s->table_room))
		return err_nomem(e);
	s->tables[s->table_nr++] = t;
	return 0;
}

static int trees_walk(struct shares *s, const struct tree *trees, uint32_t nr,
		      const struct walk_ops *ops, const struct watch *watch, struct err *e)
{
	int ret = -1;

	s->walk = walk_new(s->src, ops, s, watch, e);
	for (uint32_t i = 0; s->walk && i < nr; i++) {
		struct walk_owner owner = { i ? WALK_SNAPSHOT : WALK_ACTIVE, i };

		if (walk_add_tree(s->walk, owner, trees[i].l1_off, trees[i].l1_nr, e) < 0)
			goto out;
	}
	if (s->walk)
		ret = walk_trees(s->walk, e);
out:
	walk_free(s->walk);
	s->walk = NULL;
	return ret;
}

static uint64_t table_shared(const struct shares *s, uint64_t host)
{
	uint64_t cluster = host >> s->src->geom->cluster_bits;
	size_t at = vec_below(s->tables, s->table_nr, host, host);

	return count_shared(s, cluster, 1) +
	       (at < s->table_nr && s->tables[at].host == host ? s->tables[at].shared : 0);
}

/* Adds up what the tables of one tree share. */
static int tree_sum(struct shares *s, const struct tree *t, uint64_t *sum, struct err *e)
{
	const struct geom *g = s->src->geom;
	uint64_t len = t->l1_nr * UINT64_C(8);
	uint8_t part[65536];

	/* Tables of their own never take more than the file has. */
	s->l1_read += len;
	if (s->l1_read > file_size(s->src->file) + L1_BYTES_MAX)
		return err_set(e, ERR_CORRUPT,
			       "the L1 tables of the snapshots overlap; run check");
	*sum = count_shared(s, t->l1_off >> g->cluster_bits, geom_clusters(g, len));
	for (uint64_t at = 0, n; at < len; at += n) {
		n = MIN(len - at, sizeof part);
		if (file_read_padded(s->src->file, t->l1_off + at, part, n, NULL, e) < 0)
			return -1;
		for (uint64_t i = 0; i < n; i += 8) {
			uint64_t host = l1_entry_decode(be64_get(part + i)).l2_off;

			*sum += host ? table_shared(s, host) : 0;
		}
	}
	return 0;
}

static int sums(struct shares *s, const struct tree *trees, uint32_t nr, struct tree_share *out,
		const struct watch *watch, struct err *e)
{
	for (uint64_t i = 0; i < s->nr; i++)
		if (s->owner[i] != NOBODY && s->owner[i] != MANY)
			out[s->owner[i] - 1].own++;
	for (uint32_t i = 0; i < nr; i++)
		if (watch_stopped(watch, e) < 0 || tree_sum(s, &trees[i], &out[i].shared, e) < 0)
			return -1;
	return 0;
}

int tree_shares(const struct walk_source *src, const struct tree *trees, uint32_t nr,
		struct tree_share *out, const struct watch *watch, struct err *e)
{
	static const struct walk_ops owners = { .area = on_area, .l1_part = on_l1,
						.fault = on_fault, .l2_table = on_l2_own };
	static const struct walk_ops counts = { .fault = on_fault, .l2_table = on_l2_count };
	struct shares s = { .src = src, .scan = l2_scan_init(src->geom),
			    .nr = geom_clusters(src->geom, file_size(src->file)) };
	int ret = -1;

	for (uint32_t i = 0; i < nr; i++)
		out[i] = (struct tree_share){ 0 };
	if (s.nr > CHECK_CLUSTERS_MAX)
		return err_set(e, ERR_UNSUPPORTED, "the file has %" PRIu64 " clusters", s.nr);
	s.owner = calloc(MAX(s.nr, 1), sizeof *s.owner);
	if (!s.owner)
		err_nomem(e);
	else if (trees_walk(&s, trees, nr, &owners, watch, e) == 0 &&
		 trees_walk(&s, trees, nr, &counts, watch, e) == 0)
		ret = sums(&s, trees, nr, out, watch, e);
	free(s.tables);
	free(s.owner);
	return ret;
}
