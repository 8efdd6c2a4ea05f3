#include "meta/tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "format/l1_entry.h"
#include "meta/l2_run.h"
#include "meta/txn_internal.h"
#include "meta/walk.h"

struct tree_walk {
	struct txn *txn;
	struct walk *walk;
	const struct geom *geom;
	struct l2_scan scan;
	struct tree_counts counts;
	struct tree_seen *seen;
	enum tree_claims how;
	uint8_t *table; /* a cluster */
	uint8_t *saw;	/* refcounts of a run: one byte for each entry of a table */
};

static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	if (f->bad == WALK_BAD_RESERVED)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "the image is damaged at host offset %#" PRIx64 "; run check first", f->place);
}

/* What lies past the end has no count here, and would be taken for free. */
static int past_end(const struct tree_walk *t, uint64_t cluster, struct err *e)
{
	return err_set(e, ERR_CORRUPT,
		       "the cluster at host offset %#" PRIx64
		       " is in use and lies past the end of the file; run check first",
		       cluster << t->geom->cluster_bits);
}

/* `times` references to clusters, active_times of them made by the active tree. */
static int refs_add(struct tree_walk *t, uint64_t first, uint64_t nr, uint64_t times,
		    uint64_t active_times, struct err *e)
{
	const struct tree_counts *c = &t->counts;

	if (first >= c->of->nr || nr > c->of->nr - first)
		return past_end(t, first + nr - 1, e);
	if (c->active && active_times && counts_add(c->active, first, nr, active_times, e) < 0)
		return -1;
	if (c->all && counts_add(c->all, first, nr, times, e) < 0)
		return -1;
	return times > active_times ? counts_add(c->of, first, nr, times - active_times, e) : 0;
}

/* Each entry is a reference to an L2 table. */
static int on_l1_count(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct tree_walk *t = arg;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++) {
		uint64_t raw = be64_get(p->bytes + i * UINT64_C(8));

		if (p->owner.kind != WALK_ACTIVE || p->times > 1)
			t->seen->claims |= raw & ENTRY_COPIED;
		if (walk_l2_followed(t->walk, raw, &host) &&
		    refs_add(t, host >> t->geom->cluster_bits, 1, p->times,
			     p->owner.kind == WALK_ACTIVE, e) < 0)
			return -1;
	}
	return 0;
}

static int odd_count(struct tree_walk *t, const struct walk_l2_table *at, uint32_t idx,
		     struct err *e)
{
	struct l2_entry x = l2_entry_at(t->geom, at->bytes, idx);
	uint64_t first = x.host >> t->geom->cluster_bits, last;

	if (l2_entry_unreadable(t->geom, &x))
		return err_set(e, ERR_CORRUPT,
			       "entry %" PRIu32 " of the L2 table at %#" PRIx64
			       " is damaged; run check first",
			       idx, at->host);
	if (!x.packed && !x.has_host)
		return 0;
	t->seen->claims |= x.copied && at->times > at->active_times;
	last = x.packed ? (x.host + x.host_len - 1) >> t->geom->cluster_bits : first;
	return refs_add(t, first, last - first + 1, at->times, at->active_times, e);
}

static int on_l2_count(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct tree_walk *t = arg;
	struct l2_run r;

	if (t->geom->data_file)
		return 0;
	for (uint32_t from = 0; l2_run_next(&t->scan, at->bytes, from, &r); from = r.idx + r.nr) {
		if (r.kind == L2_RUN_PLAIN
			    ? refs_add(t, r.host >> t->geom->cluster_bits, r.nr, at->times,
				       at->active_times, e) < 0
			    : odd_count(t, at, r.idx, e) < 0)
			return -1;
		t->seen->claims |= r.kind == L2_RUN_PLAIN && r.copied && at->times > at->active_times;
	}
	return 0;
}

/* `active` may be NULL. */
static int walk_trees_of(struct tree_walk *t, const struct tree *trees, uint32_t nr,
			 const struct tree *active, const struct walk_ops *ops,
			 const struct watch *watch, struct err *e)
{
	const struct txn_image *img = &t->txn->img;
	struct walk_source src = { img->file, img->header, img->geom };
	struct walk_owner owner = { .kind = WALK_ACTIVE };
	int ret = -1;

	t->walk = walk_new(&src, ops, t, watch, e);
	if (!t->walk)
		return -1;
	if (active && walk_add_tree(t->walk, owner, active->l1_off, active->l1_nr, e) < 0)
		goto out;
	for (uint32_t i = 0; i < nr; i++) {
		owner = (struct walk_owner){ WALK_SNAPSHOT, i };
		if (walk_add_tree(t->walk, owner, trees[i].l1_off, trees[i].l1_nr, e) < 0)
			goto out;
	}
	ret = walk_trees(t->walk, e);
out:
	walk_free(t->walk);
	return ret;
}

static const struct walk_ops count_ops = { .l1_part = on_l1_count, .fault = on_fault,
					   .l2_table = on_l2_count };

int tree_count(struct txn *x, const struct tree *trees, uint32_t nr, const struct tree *active,
	       const struct tree_counts *c, struct tree_seen *seen, const struct watch *watch,
	       struct err *e)
{
	struct tree_walk t = { .txn = x, .geom = x->img.geom, .counts = *c, .seen = seen,
			       .scan = l2_scan_init(x->img.geom) };

	return walk_trees_of(&t, trees, nr, active, &count_ops, watch, e);
}

static uint64_t copied_or_not(uint64_t raw, bool copied)
{
	return copied ? raw | ENTRY_COPIED : raw & ~ENTRY_COPIED;
}

/* Flags of nr plain entries from idx on, whose host clusters adjoin. Returns whether one changed. */
static int run_claim(struct tree_walk *t, uint32_t idx, uint32_t nr, uint64_t host, bool *changed,
		     struct err *e)
{
	uint64_t first = host >> t->geom->cluster_bits;

	if (t->how == TREE_CLAIMS_DROP)
		memset(t->saw, 0, nr);
	else if (refcounts_get_saturated(&t->txn->refcounts, first, nr, t->saw, e) < 0)
		return -1;
	for (uint32_t i = 0; i < nr; i++) {
		uint8_t *p = t->table + ((uint64_t)(idx + i) << t->geom->l2_entry_bits);
		uint64_t raw = be64_get(p), now = copied_or_not(raw, t->saw[i] == 1);

		if (now == raw)
			continue;
		be64_put(p, now);
		*changed = true;
	}
	return 0;
}

static int odd_claim(struct tree_walk *t, uint32_t idx, bool *changed, struct err *e)
{
	struct l2_entry x = l2_entry_at(t->geom, t->table, idx);

	return x.has_host && !x.packed ? run_claim(t, idx, 1, x.host, changed, e) : 0;
}

static int on_l2_claim(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct tree_walk *t = arg;
	size_t size = (size_t)geom_cluster_size(t->geom);
	bool changed = false;
	struct l2_run r;

	memcpy(t->table, at->bytes, size);
	for (uint32_t from = 0; l2_run_next(&t->scan, at->bytes, from, &r); from = r.idx + r.nr)
		if (r.kind == L2_RUN_PLAIN ? run_claim(t, r.idx, r.nr, r.host, &changed, e) < 0
					   : odd_claim(t, r.idx, &changed, e) < 0)
			return -1;
	return changed ? file_write_at(t->txn->img.file, at->host, t->table, size, e) : 0;
}

/* The L1 table's own flags, 64 KiB at a time. */
static int l1_claims(struct tree_walk *t, const struct tree *tree, struct err *e)
{
	uint8_t part[65536];
	uint64_t len = tree->l1_nr * UINT64_C(8);

	for (uint64_t at = 0, n; at < len; at += n) {
		bool changed = false;

		n = MIN(len - at, sizeof part);
		if (file_read_padded(t->txn->img.file, tree->l1_off + at, part, n, NULL, e) < 0)
			return -1;
		for (uint64_t i = 0; i < n; i += 8) {
			uint64_t raw = be64_get(part + i), count = 0, now;
			struct l1_entry l1 = l1_entry_decode(raw);

			if (l1.l2_off && t->how == TREE_CLAIMS_SET &&
			    txn_refcount(t->txn, l1.l2_off, &count, e) < 0)
				return -1;
			now = copied_or_not(raw, l1.l2_off && count == 1);
			changed |= now != raw;
			be64_put(part + i, now);
		}
		if (changed && file_write_at(t->txn->img.file, tree->l1_off + at, part, n, e) < 0)
			return -1;
	}
	return 0;
}

int tree_claims(struct txn *x, const struct tree *tree, enum tree_claims how,
		const struct watch *watch, struct err *e)
{
	static const struct walk_ops ops = { .fault = on_fault, .l2_table = on_l2_claim };
	struct tree_walk t = { .txn = x, .geom = x->img.geom, .how = how,
			       .scan = l2_scan_init(x->img.geom) };
	int ret = -1;

	if (x->img.geom->data_file)
		return l1_claims(&t, tree, e); /* below, COPIED only says that a cluster is there */
	t.table = malloc(geom_cluster_size(t.geom));
	t.saw = malloc(geom_l2_entries(t.geom));
	if (!t.table || !t.saw)
		err_nomem(e);
	else if (walk_trees_of(&t, tree, 1, NULL, &ops, watch, e) == 0)
		ret = l1_claims(&t, tree, e);
	free(t.table);
	free(t.saw);
	/* What was read before is not what the file holds now. */
	table_cache_forget_all(x->img.tables);
	return ret;
}

int tree_l1_copy(struct txn *x, const struct tree *tree, uint64_t to, uint32_t nr, struct err *e)
{
	uint64_t size = align_up(nr * UINT64_C(8), SECTOR_SIZE);
	uint8_t *bytes = calloc(1, size);
	int ret = bytes ? 0 : err_nomem(e);

	if (ret == 0)
		ret = file_read_padded(x->img.file, tree->l1_off, bytes,
				       tree->l1_nr * (size_t)8, NULL, e);
	for (uint32_t i = 0; ret == 0 && i < tree->l1_nr; i++)
		be64_put(bytes + i * UINT64_C(8),
			 be64_get(bytes + i * UINT64_C(8)) & ~ENTRY_COPIED);
	if (ret == 0)
		ret = file_write_at(x->img.file, to, bytes, size, e);
	free(bytes);
	return ret;
}
