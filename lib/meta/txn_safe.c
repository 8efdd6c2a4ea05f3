/* An image that was not closed: its refcounts may lag behind its tables (12.3). Before anything is
 * changed the counts are raised to what the tables need, and claims that they contradict go. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/bits.h"
#include "format/l1_entry.h"
#include "meta/counts.h"
#include "meta/l2_run.h"
#include "meta/tree.h"
#include "meta/txn_internal.h"
#include "meta/walk.h"

struct safe {
	struct txn *txn;
	struct walk *walk;
	struct counts expected;
	struct l2_scan scan;
	const struct watch *watch;
	bool changed;
};

static uint64_t cluster_of(const struct safe *s, uint64_t host)
{
	return host >> s->txn->img.geom->cluster_bits;
}

/* What lies past the end can't be counted here, and would be taken for free. */
static int clusters_add(struct safe *s, uint64_t first, uint64_t nr, uint64_t times, struct err *e)
{
	if (first >= s->expected.nr || nr > s->expected.nr - first)
		return err_set(e, ERR_CORRUPT,
			       "the image was not closed, and refers to host offset %#" PRIx64
			       ", past the end of the file; run check -r all first",
			       (first + nr - 1) << s->txn->img.geom->cluster_bits);
	return counts_add(&s->expected, first, nr, times, e);
}

static int range_add(struct safe *s, uint64_t host, uint64_t len, uint64_t times, struct err *e)
{
	uint64_t first = cluster_of(s, host), last = cluster_of(s, host + len - 1);

	return clusters_add(s, first, last - first + 1, times, e);
}

static int on_area(void *arg, const struct walk_area *a, struct err *e)
{
	return range_add(arg, a->host, a->len, a->times, e);
}

/* Each L1 entry is a reference to an L2 table. */
static int on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct safe *s = arg;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++)
		if (walk_l2_followed(s->walk, be64_get(p->bytes + i * UINT64_C(8)), &host) &&
		    range_add(s, host, 1, p->times, e) < 0)
			return -1;
	return 0;
}

/* What can't be followed can't be counted. */
static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	switch (f->bad) {
	case WALK_BAD_LONG:
		if (f->what == WALK_BITMAP_TABLE)
			return 0;
		break;
	case WALK_BAD_SHORT:
	case WALK_BAD_NAME:
	case WALK_BAD_FLAGS:
	case WALK_BAD_RESERVED:
		return 0;
	default:
		break;
	}
	return err_set(e, ERR_CORRUPT,
		       "the image was not closed, and is damaged at host offset %#" PRIx64
		       "; run check -r all first",
		       f->place);
}

static int entry_add(struct safe *s, const struct walk_l2_table *t, uint32_t idx, struct err *e)
{
	const struct geom *g = s->txn->img.geom;
	struct l2_entry x = l2_entry_at(g, t->bytes, idx);

	if (l2_entry_unreadable(g, &x))
		return err_set(e, ERR_CORRUPT,
			       "the image was not closed, and entry %" PRIu32
			       " of the L2 table at %#" PRIx64
			       " is damaged; run check -r all first",
			       idx, t->host);
	if (x.packed) {
		uint64_t last = cluster_of(s, x.host + x.host_len - 1), first = cluster_of(s, x.host);

		return clusters_add(s, first, last - first + 1, t->times, e);
	}
	return x.has_host ? range_add(s, x.host, 1, t->times, e) : 0;
}

static int on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct safe *s = arg;
	struct l2_run r;

	if (s->txn->img.geom->data_file)
		return 0;
	for (uint32_t from = 0; l2_run_next(&s->scan, t->bytes, from, &r); from = r.idx + r.nr)
		if (r.kind == L2_RUN_PLAIN
			    ? clusters_add(s, cluster_of(s, r.host), r.nr, t->times, e) < 0
			    : entry_add(s, t, r.idx, e) < 0)
			return -1;
	return 0;
}

/* Whether the cluster has one owner when all is done. */
static int has_one_owner(struct safe *s, uint64_t host, bool *one, struct err *e)
{
	uint64_t stored, expected = counts_get(&s->expected, cluster_of(s, host));

	if (refcounts_get(&s->txn->refcounts, cluster_of(s, host), &stored, e) < 0)
		return -1;
	*one = MAX(stored, expected) == 1;
	return 0;
}

static int claim_drop(struct safe *s, uint64_t place, uint64_t raw, struct err *e)
{
	uint8_t bytes[8];
	bool one;

	if (!(raw & ENTRY_COPIED) || (raw & ENTRY_COMPRESSED))
		return 0;
	if (has_one_owner(s, raw & ENTRY_OFFSET_MASK, &one, e) < 0)
		return -1;
	if (one)
		return 0;
	s->changed = true;
	be64_put(bytes, raw & ~ENTRY_COPIED);
	return table_cache_edit(s->txn->img.tables, place, bytes, sizeof bytes, e);
}

static int claims_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	if (p->owner.kind != WALK_ACTIVE)
		return 0;
	for (uint32_t i = 0; i < p->nr; i++)
		if (claim_drop(arg, p->place + i * UINT64_C(8),
			       be64_get(p->bytes + i * UINT64_C(8)), e) < 0)
			return -1;
	return 0;
}

static int claims_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct safe *s = arg;
	const struct geom *g = s->txn->img.geom;

	if (!t->active_times || g->data_file)
		return 0;
	for (uint64_t i = 0; i < geom_l2_entries(g); i++)
		if (claim_drop(s, t->host + (i << g->l2_entry_bits),
			       be64_get(t->bytes + (i << g->l2_entry_bits)), e) < 0)
			return -1;
	/* Nothing else waits: what is stored here are claims that go (step 1). */
	return txn_is_full(s->txn) ? txn_commit(s->txn, e) : 0;
}

static int walk_with(struct safe *s, const struct walk_ops *ops, struct err *e)
{
	const struct txn_image *img = &s->txn->img;
	struct walk_source src = { img->file, img->header, img->geom };
	int ret = -1;

	s->walk = walk_new(&src, ops, s, s->watch, e);
	if (s->walk && walk_metadata(s->walk, e) == 0)
		ret = walk_trees(s->walk, e);
	walk_free(s->walk);
	return ret;
}

static bool is_in_use(const struct counts *expected, uint64_t first, uint64_t nr)
{
	for (uint64_t i = first, n; nr; i += n, nr -= n) {
		n = MIN(nr, COUNTS_PAGE - i % COUNTS_PAGE);
		if (expected->touched[i >> COUNTS_PAGE_BITS] && !bytes_are_zero(expected->low + i, n))
			return true;
	}
	return false;
}

/* Blocks for ranges that are in use and have none. They go behind everything: which clusters are
 * free is not known yet. */
static int blocks_add(struct safe *s, struct err *e)
{
	struct refcounts *r = &s->txn->refcounts;
	unsigned bits = geom_refcount_block_bits(s->txn->img.geom);
	uint64_t next = s->expected.nr, first = next;

	for (uint64_t i = 0; i <= (next - 1) >> bits; i++) {
		/* The new blocks themselves, behind the file, are in use, too. */
		if (i < first >> bits && !is_in_use(&s->expected, i << bits, UINT64_C(1) << bits))
			continue;
		if (i >= r->table_nr)
			return err_set(e, ERR_CORRUPT,
				       "the image was not closed, and its refcount table is too "
				       "short; run check -r all first");
		if (r->table[i])
			continue;
		if (overlap_add(&s->txn->overlap, next, 1, OVERLAP_REFCOUNT_BLOCK, e) < 0 ||
		    refcounts_add_block_at(r, i, next++, e) < 0)
			return -1;
	}
	for (uint64_t i = first; i < next; i++)
		if (refcounts_raise(r, i, 1, 1, e) < 0)
			return -1;
	s->changed |= next > first;
	return 0;
}

static int counts_raise(struct safe *s, struct err *e)
{
	for (uint64_t i = 0; i < s->expected.nr; i++) {
		uint64_t stored, expected = counts_get(&s->expected, i);

		if (!expected)
			continue;
		if (refcounts_get(&s->txn->refcounts, i, &stored, e) < 0)
			return -1;
		if (stored >= expected)
			continue;
		s->changed = true;
		if (refcounts_raise(&s->txn->refcounts, i, 1, expected - stored, e) < 0)
			return -1;
	}
	return 0;
}

static const struct walk_ops counting = { .area = on_area, .fault = on_fault,
					  .l1_part = on_l1_part, .l2_table = on_l2_table };

int txn_references(struct txn *x, struct counts *c, const struct watch *watch, struct err *e)
{
	struct safe s = { .txn = x, .scan = l2_scan_init(x->img.geom), .watch = watch };
	uint64_t nr = geom_clusters(x->img.geom, file_size(x->img.file));
	int ret = counts_init(&s.expected, nr, e);

	if (ret == 0)
		ret = walk_with(&s, &counting, e);
	*c = s.expected;
	return ret;
}

int txn_make_safe(struct txn *x, const struct watch *watch, bool *changed, struct err *e)
{
	static const struct walk_ops claiming = { .l1_part = claims_l1_part,
						  .l2_table = claims_l2_table };
	struct tree active = { x->img.header->l1_table_off, x->img.header->l1_size };
	struct safe s = { .txn = x, .scan = l2_scan_init(x->img.geom), .watch = watch };
	uint64_t nr = geom_clusters(x->img.geom, file_size(x->img.file));
	int ret = -1;

	if (nr > CHECK_CLUSTERS_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "the image was not closed, and has too many clusters to be made safe");
	/* Claims go first, then counts rise, then claims that were withdrawn by a change that was
	 * interrupted are made again, then the bit goes: each durable before the next. */
	if (counts_init(&s.expected, nr, e) == 0 && walk_with(&s, &counting, e) == 0 &&
	    walk_with(&s, &claiming, e) == 0 && txn_commit(x, e) == 0 &&
	    blocks_add(&s, e) == 0 && counts_raise(&s, e) == 0 && txn_commit(x, e) == 0 &&
	    tree_claims(x, &active, TREE_CLAIMS_SET, watch, e) == 0)
		ret = txn_claimed(x, e);
	counts_fini(&s.expected);
	*changed = s.changed;
	return ret;
}
