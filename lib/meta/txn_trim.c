/* What counts nothing any more (4.8): blocks whose range became free, and the end of the table that
 * named them. An entry of the table is gone from the file before anything that it led to is free,
 * as everywhere. */
#include "base/align.h"
#include "meta/txn_internal.h"

/* Where a block counts itself, losing the entry makes its cluster free at once. */
static bool counts_itself(const struct txn *x, uint64_t idx)
{
	uint64_t cluster = x->refcounts.table[idx] >> x->img.geom->cluster_bits;

	return cluster >> geom_refcount_block_bits(x->img.geom) == idx;
}

static int is_idle(struct txn *x, uint64_t idx, bool *idle, struct err *e)
{
	struct refcounts *r = &x->refcounts;
	unsigned range_bits = geom_refcount_block_bits(x->img.geom);
	uint64_t own = r->table[idx] >> x->img.geom->cluster_bits, n;
	bool free;

	*idle = false;
	for (uint64_t at = idx << range_bits, end = at + (UINT64_C(1) << range_bits); at < end;
	     at += n) {
		if (refcounts_run(r, at, end - at, &free, &n, e) < 0)
			return -1;
		if (!free && (at != own || n != 1))
			return 0;
	}
	*idle = true;
	return 0;
}

static int block_drop(struct txn *x, uint64_t idx, bool *again, struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;
	uint64_t off = x->refcounts.table[idx];
	bool own = counts_itself(x, idx);

	refcounts_drop_block(&x->refcounts, idx);
	if (own) {
		overlap_remove(&x->overlap, off >> bits, 1);
		return 0;
	}
	*again = true; /* the block that counts it may be idle now */
	return txn_release(x, off, 1, 1, e);
}

static int blocks_drop(struct txn *x, bool *again, struct err *e)
{
	struct refcounts *r = &x->refcounts;
	unsigned range_bits = geom_refcount_block_bits(x->img.geom);
	uint64_t from = x->freed_from >> range_bits;
	uint64_t to = div_up(x->freed_to, UINT64_C(1) << range_bits);
	bool idle;

	for (uint64_t idx = from; idx < MIN(to, r->table_nr); idx++) {
		if (!r->table[idx])
			continue;
		if (is_idle(x, idx, &idle, e) < 0 || (idle && block_drop(x, idx, again, e) < 0))
			return -1;
	}
	return txn_commit(x, e);
}

static int table_shorten(struct txn *x, bool *again, struct err *e)
{
	struct refcounts *r = &x->refcounts;
	struct header *h = x->img.header;
	unsigned bits = x->img.geom->cluster_bits;
	uint64_t used = r->table_nr, need, had = h->refcount_table_clusters;

	while (used && !r->table[used - 1])
		used--;
	need = MAX(div_up(used * 8, geom_cluster_size(x->img.geom)), 1);
	if (need >= had)
		return 0;
	*again = true;
	refcounts_shorten(r, need << bits >> 3);
	h->refcount_table_clusters = (uint32_t)need;
	txn_header(x, HEADER_REFCOUNTS);
	if (txn_release(x, r->table_off + (need << bits), (had - need) << bits, 1, e) < 0)
		return -1;
	return txn_commit(x, e);
}

int txn_trim(struct txn *x, struct err *e)
{
	bool again = x->freed_from < x->freed_to;

	while (again) {
		again = false;
		if (blocks_drop(x, &again, e) < 0 || table_shorten(x, &again, e) < 0)
			return -1;
	}
	return txn_finish(x, e);
}
