/* What becomes of clusters that are given up, or were taken in vain, and where the image ends. */
#include "base/align.h"
#include "meta/txn_internal.h"

int txn_release(struct txn *x, uint64_t host, uint64_t len, uint64_t times, struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;
	uint64_t first = host >> bits, last = (host + len - 1) >> bits;

	if (txn_alive(x, e) < 0)
		return -1;
	return cluster_runs_add(&x->released, first, last - first + 1, times, e);
}

static void became_free(struct txn *x, uint64_t first, uint64_t nr)
{
	unsigned bits = x->img.geom->cluster_bits;
	uint64_t found;

	if (!x->floor) /* else it holds old bytes, wherever it lies */
		x->hint = MIN(x->hint, first);
	x->freed_from = MIN(x->freed_from, first);
	x->freed_to = MAX(x->freed_to, first + nr);
	for (uint64_t i = first; i < first + nr; i = found + 1) {
		if (overlap_find(&x->overlap, i, first + nr - i, &found) == OVERLAP_NONE)
			break;
		overlap_remove(&x->overlap, found, 1);
		table_cache_forget(x->img.tables, found << bits, UINT64_C(1) << bits);
	}
	if (x->punch)
		file_discard(x->img.file, first << bits, nr << bits);
}

static int run_release(struct txn *x, uint64_t first, uint64_t nr, uint64_t times,
		       struct err *e)
{
	uint64_t n;
	bool free;

	if (refcounts_lower(&x->refcounts, first, nr, times, e) < 0)
		return -1;
	for (; nr; first += n, nr -= n) {
		if (refcounts_run(&x->refcounts, first, nr, &free, &n, e) < 0)
			return -1;
		if (free)
			became_free(x, first, n);
	}
	return 0;
}

int txn_release_apply(struct txn *x, struct err *e)
{
	/* A block for each run at worst, and many for a long one: those that are done are
	 * written as they become many. */
	for (size_t i = 0; i < x->released.nr; i++) {
		const struct cluster_run *run = &x->released.items[i];
		uint64_t n, end = run->first + run->nr;

		for (uint64_t at = run->first; at < end; at += n) {
			n = MIN(end - at, txn_block_range(x) - at % txn_block_range(x));
			if (run_release(x, at, n, run->times, e) < 0)
				return -1;
			if (table_cache_waiting(x->refcounts.blocks) > 64 &&
			    refcounts_store(&x->refcounts, e) < 0)
				return -1;
		}
	}
	x->released.nr = 0;
	return 0;
}

/* Blocks of ranges without counts are skipped. */
static int counted_end(struct txn *x, uint64_t *end, struct err *e)
{
	struct refcounts *r = &x->refcounts;
	uint64_t range = txn_block_range(x), n;
	bool free;

	*end = 0;
	for (uint64_t idx = r->table_nr; idx-- > 0 && !*end;) {
		if (!r->table[idx])
			continue;
		for (uint64_t i = 0; i < range; i += n) {
			if (refcounts_run(r, idx * range + i, range - i, &free, &n, e) < 0)
				return -1;
			if (!free)
				*end = (idx * range + i + n) << x->img.geom->cluster_bits;
		}
	}
	return 0;
}

/* A disk that was full has room again for what comes next. */
static int file_give_back(struct txn *x, struct err *e)
{
	uint64_t end;

	if (!file_is_regular(x->img.file))
		return 0;
	if (counted_end(x, &end, e) < 0)
		return -1;
	end = MAX(end, x->file_end);
	return file_size(x->img.file) > end ? file_truncate(x->img.file, end, e) : 0;
}

int txn_give_back(struct txn *x, struct err *e)
{
	for (size_t i = 0; i < x->taken.nr; i++)
		if (refcounts_lower(&x->refcounts, x->taken.items[i].first,
				    x->taken.items[i].nr, x->taken.items[i].times, e) < 0)
			return -1;
	x->taken.nr = 0;
	if (refcounts_has_made(&x->refcounts) &&
	    (refcounts_store_made(&x->refcounts, e) < 0 || file_flush(x->img.file, e) < 0))
		return -1;
	return refcounts_store(&x->refcounts, e) < 0 ? -1 : file_give_back(x, e);
}

int txn_image_end(struct txn *x, uint64_t *end, struct err *e)
{
	if (counted_end(x, end, e) < 0)
		return -1;
	*end = MAX(*end, overlap_end(&x->overlap) << x->img.geom->cluster_bits);
	return 0;
}
