/* Many counts at once, each slice of a block touched once. */
#include <inttypes.h>
#include <string.h>

#include "base/align.h"
#include "format/refcount_block.h"
#include "meta/refcounts.h"

int refcounts_get_saturated(struct refcounts *r, uint64_t first, uint64_t nr, uint8_t *out,
			    struct err *e)
{
	while (nr) {
		const struct table_slice *s;
		uint64_t off, idx, n = refcounts_slice(r, first, nr, &off, &idx);

		if (!off) {
			memset(out, 0, n);
		} else {
			if (table_cache_get(r->blocks, off, &s, e) < 0)
				return err_ctx(e, "refcount block");
			refcount_block_get_saturated(s->bytes, r->geom->refcount_order, idx, n,
						     out);
			table_cache_put(r->blocks, s);
		}
		first += n;
		out += n;
		nr -= n;
	}
	return 0;
}

/* A look at counts first .. first+nr-1 that `c` changes, all in one slice. */
static int slice_check(struct refcounts *r, const struct counts *c, uint64_t first, uint64_t nr,
		       uint64_t off, uint64_t idx, bool raise, struct err *e)
{
	uint64_t most = geom_refcount_max(r->geom);
	const struct table_slice *s;
	int ret = 0;

	if (table_cache_get(r->blocks, off, &s, e) < 0)
		return err_ctx(e, "refcount block");
	if (refcount_block_could_change(s->bytes, r->geom->refcount_order, idx, nr, c->low + first,
					raise))
		nr = 0;
	for (uint64_t i = 0; ret == 0 && i < nr; i++) {
		uint64_t by = c->low[first + i];

		if (!by)
			continue;
		by = by == COUNTS_BIG ? counts_get(c, first + i) : by;
		uint64_t count = refcount_block_get(s->bytes, r->geom->refcount_order, idx + i);

		if (raise && (by > most || count > most - by))
			ret = err_set(e, ERR_INVALID,
				      "the refcount of cluster %" PRIu64 " would become %" PRIu64
				      ", which does not fit into %u bits; amend -o refcount_bits=... "
				      "makes room, or check -r leaks if a change was cut short",
				      first + i, count + by, 1u << r->geom->refcount_order);
		else if (!raise && count < by)
			ret = err_set(e, ERR_CORRUPT,
				      "cluster %" PRIu64 " has refcount %" PRIu64
				      " and is in use more often; run check -r all",
				      first + i, count);
		else if (raise && !count)
			ret = err_set(e, ERR_CORRUPT,
				      "cluster %" PRIu64
				      " is in use and has refcount 0; run check -r all",
				      first + i);
	}
	table_cache_put(r->blocks, s);
	return ret;
}

static int slice_change(struct refcounts *r, const struct counts *c, uint64_t first, uint64_t nr,
			uint64_t off, uint64_t idx, bool raise, struct err *e)
{
	unsigned order = r->geom->refcount_order;
	uint64_t byte = idx << order >> 3, end = (((idx + nr) << order) + 7) >> 3;
	uint8_t *p = table_cache_modify(r->blocks, off + byte, end - byte, e);

	if (!p)
		return err_ctx(e, "refcount block");
	idx -= (byte << 3) >> order;
	if (refcount_block_change(p, order, idx, nr, c->low + first, raise))
		nr = 0;
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t by = c->low[first + i];

		if (!by)
			continue;
		by = by == COUNTS_BIG ? counts_get(c, first + i) : by;
		refcount_block_set(p, order, idx + i,
				   refcount_block_get(p, order, idx + i) + (raise ? by : 0 - by));
	}
	/* What waits is bounded: all of it may reach the file at any time from here on. */
	return table_cache_waiting(r->blocks) > 64 ? table_cache_store(r->blocks, TABLE_STORE_ALL, e)
						   : 0;
}

static bool any(const struct counts *c, uint64_t first, uint64_t nr)
{
	uint8_t seen = 0;

	for (uint64_t i = 0; i < nr; i++)
		seen |= c->low[first + i];
	return seen;
}

int refcounts_bulk(struct refcounts *r, const struct counts *c, bool raise, bool check,
		   struct err *e)
{
	for (uint64_t first = 0, n; first < c->nr; first += n) {
		uint64_t off, idx;

		n = MIN(c->nr - first, COUNTS_PAGE - first % COUNTS_PAGE);
		if (!c->touched[first >> COUNTS_PAGE_BITS])
			continue;
		n = refcounts_slice(r, first, n, &off, &idx);
		if (!any(c, first, n))
			continue;
		if (!off)
			return err_set(e, ERR_CORRUPT,
				       "cluster %" PRIu64
				       " is in use and has no refcount block; run check -r all",
				       first);
		if (check ? slice_check(r, c, first, n, off, idx, raise, e) < 0
			  : slice_change(r, c, first, n, off, idx, raise, e) < 0)
			return -1;
	}
	return 0;
}
