/* The only place that chooses host clusters. */
#include <inttypes.h>

#include "base/align.h"
#include "meta/txn_internal.h"

/* The clusters may hold no metadata, whatever the counts say. */
static int free_check(struct txn *x, uint64_t first, uint64_t nr, struct err *e)
{
	uint64_t cluster;
	enum overlap_what what = overlap_find(&x->overlap, first, nr, &cluster);

	if (what == OVERLAP_NONE && first)
		return 0;
	err_set(e, ERR_CORRUPT, "cluster %" PRIu64 " has refcount 0 and holds the %s",
		what ? cluster : 0, overlap_text(what ? what : OVERLAP_HEADER));
	return txn_mark_corrupt(x, e);
}

/* The place of a longer table; it may hold nothing, and is known as metadata from now on. */
static int growth_place(struct txn *x, struct refcount_growth *g, struct err *e)
{
	if (refcounts_plan(&x->refcounts, g, e) < 0)
		return err_ctx(e, "refcount table");
	if (free_check(x, g->first, g->blocks + g->table_clusters, e) < 0 ||
	    overlap_add(&x->overlap, g->first, g->blocks, OVERLAP_REFCOUNT_BLOCK, e) < 0)
		return -1;
	return overlap_add(&x->overlap, g->first + g->blocks, g->table_clusters,
			   OVERLAP_REFCOUNT_TABLE, e);
}

/* Makes the table long enough for at least one block more: a change of its own, complete before
 * the one in need goes on. */
static int table_grow(struct txn *x, struct err *e)
{
	struct refcounts *r = &x->refcounts;
	struct header *h = x->img.header;
	uint64_t old_off = r->table_off, old_nr = h->refcount_table_clusters;
	struct refcount_growth g;

	if ((refcounts_has_made(r) &&
	     (refcounts_store_made(r, e) < 0 || file_flush(x->img.file, e) < 0)) ||
	    refcounts_store(r, e) < 0 || growth_place(x, &g, e) < 0)
		return -1;
	if (refcounts_grow(r, &g, e) < 0) {
		/* Nothing leads there. */
		overlap_remove(&x->overlap, g.first, g.blocks + g.table_clusters);
		return err_ctx(e, "refcount table");
	}
	h->refcount_table_off = g.table_off;
	h->refcount_table_clusters = g.table_clusters;
	refcounts_adopt(r, &g);
	if (txn_header_write(x, HEADER_REFCOUNTS, e) < 0 || file_flush(x->img.file, e) < 0) {
		x->dead = true;
		return -1;
	}
	return txn_release(x, old_off, old_nr << x->img.geom->cluster_bits, 1, e);
}

/* The range of clusters that `cluster` lies in gets its block. */
static int block_make(struct txn *x, uint64_t cluster, struct err *e)
{
	uint64_t place = align_down(cluster, txn_block_range(x));

	if (free_check(x, place, 1, e) < 0 ||
	    refcounts_add_blocks(&x->refcounts, place / txn_block_range(x), place, 1, e) < 0)
		return -1;
	return overlap_add(&x->overlap, place, 1, OVERLAP_REFCOUNT_BLOCK, e);
}

static bool has_block(const struct txn *x, uint64_t cluster)
{
	return x->refcounts.table[cluster / txn_block_range(x)];
}

/* Entries of tables have room for smaller offsets only. */
static int reach_check(const struct txn *x, uint64_t first, uint64_t nr, struct err *e)
{
	uint64_t end = HOST_OFFSET_MAX >> x->img.geom->cluster_bits;

	return first > end || nr > end - first
		       ? err_set(e, ERR_INVALID, "the image file would be larger than 64 PiB")
		       : 0;
}

/* Free clusters, at most `want`, from `from` on; their range has a block. */
static int run_find(struct txn *x, uint64_t from, uint64_t want, uint64_t *first, uint64_t *nr,
		    struct err *e)
{
	for (;;) {
		if (refcounts_find_free(&x->refcounts, from, want, first, nr, e) < 0)
			return -1;
		if (*nr && has_block(x, *first))
			break;
		if (*nr ? block_make(x, *first, e) < 0 : table_grow(x, e) < 0)
			return -1;
	}
	return reach_check(x, *first, *nr, e) < 0 ? -1 : free_check(x, *first, *nr, e);
}

static int run_take(struct txn *x, uint64_t first, uint64_t nr, uint64_t times, struct err *e)
{
	if (refcounts_raise(&x->refcounts, first, nr, times, e) < 0)
		return -1;
	return cluster_runs_add(&x->taken, first, nr, times, e);
}

int txn_take(struct txn *x, uint64_t want, uint64_t *host, uint64_t *nr, struct err *e)
{
	uint64_t first;

	if (txn_alive(x, e) < 0 || run_find(x, x->hint, want, &first, nr, e) < 0 ||
	    run_take(x, first, *nr, 1, e) < 0)
		return -1;
	x->hint = first + *nr;
	*host = first << x->img.geom->cluster_bits;
	return 0;
}

/* A run so long that it needs ranges of its own: behind all blocks that there are, with the new
 * blocks in front of it. */
static int long_run_place(struct txn *x, uint64_t nr, uint64_t *first, struct err *e)
{
	struct refcounts *r = &x->refcounts;
	uint64_t range = txn_block_range(x), idx = r->table_nr, blocks = 0, known;

	while (idx && !r->table[idx - 1])
		idx--;
	do {
		known = blocks;
		blocks = div_up(blocks + nr, range);
	} while (blocks != known);
	while (idx + blocks > r->table_nr) {
		if (table_grow(x, e) < 0)
			return -1;
		idx = r->table_nr; /* the new table lies in the first range behind the old */
		while (idx && !r->table[idx - 1])
			idx--;
	}
	if (reach_check(x, idx * range, blocks + nr, e) < 0 ||
	    free_check(x, idx * range, blocks + nr, e) < 0 ||
	    refcounts_add_blocks(r, idx, idx * range, blocks, e) < 0)
		return -1;
	*first = idx * range + blocks;
	return overlap_add(&x->overlap, idx * range, blocks, OVERLAP_REFCOUNT_BLOCK, e);
}

/* Joins free runs until they are long enough. */
static int short_run_place(struct txn *x, uint64_t nr, uint64_t *first, struct err *e)
{
	uint64_t have = 0, found, n;

	for (uint64_t from = x->hint; have < nr; from = found + n) {
		if (run_find(x, from, nr - have, &found, &n, e) < 0)
			return -1;
		if (from == x->hint)
			x->hint = found; /* nothing is free before it: nobody looks there again */
		if (have && *first + have == found) {
			have += n;
			continue;
		}
		*first = found;
		have = n;
	}
	return 0;
}

int txn_take_all(struct txn *x, uint64_t nr, uint64_t *host, struct err *e)
{
	uint64_t first = 0;

	if (txn_alive(x, e) < 0)
		return -1;
	if (nr >= txn_block_range(x) / 2 ? long_run_place(x, nr, &first, e) < 0
				     : short_run_place(x, nr, &first, e) < 0)
		return -1;
	if (run_take(x, first, nr, 1, e) < 0)
		return -1;
	if (first == x->hint)
		x->hint += nr;
	*host = first << x->img.geom->cluster_bits;
	return 0;
}

int txn_take_behind_end(struct txn *x, struct err *e)
{
	if (txn_alive(x, e) < 0)
		return -1;
	x->floor = MAX(x->floor, geom_clusters(x->img.geom, file_size(x->img.file)));
	x->hint = MAX(x->hint, x->floor);
	return 0;
}

int txn_take_table(struct txn *x, enum txn_table what, uint64_t clusters, uint64_t *host,
		   struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;

	static const enum overlap_what classes[] = {
		[TXN_L1_TABLE] = OVERLAP_L1_TABLE,
		[TXN_L2_TABLE] = OVERLAP_L2_TABLE,
		[TXN_BITMAP_TABLE] = OVERLAP_BITMAPS,
	};

	if (txn_take_all(x, clusters, host, e) < 0 ||
	    overlap_add(&x->overlap, *host >> bits, clusters, classes[what], e) < 0)
		return -1;
	return table_cache_make(x->img.tables, *host, clusters << bits, e);
}

int txn_share(struct txn *x, uint64_t host, uint64_t times, struct err *e)
{
	if (txn_alive(x, e) < 0)
		return -1;
	return run_take(x, host >> x->img.geom->cluster_bits, 1, times, e);
}

int txn_refcount(struct txn *x, uint64_t host, uint64_t *count, struct err *e)
{
	return refcounts_get(&x->refcounts, host >> x->img.geom->cluster_bits, count, e);
}
