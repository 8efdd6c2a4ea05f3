/* Refcounts of another width. */
#include <inttypes.h>

#include "base/align.h"
#include "image/amend.h"
#include "image/writer_internal.h"
#include "meta/refcount_rebuild.h"
#include "meta/refcounts.h"

/* Clusters beyond which the counts would not fit into memory: 2 GiB of them. */
#define CLUSTERS_MAX (UINT64_C(1) << 31)
#define AT_ONCE	     (UINT64_C(1) << 16) /* counts */

/* Clusters that may be counted: those of the file, and of ranges that have a block. */
static uint64_t counted_end(const struct refcounts *r, uint64_t clusters)
{
	uint64_t ranges = r->table_nr;

	while (ranges && !r->table[ranges - 1])
		ranges--;
	return MAX(ranges << geom_refcount_block_bits(r->geom), clusters);
}

/* The counts first .. first+nr-1 as they are. */
static int counts_load(struct refcounts *r, struct counts *c, uint64_t first, uint64_t nr,
		       struct err *e)
{
	if (refcounts_get_saturated(r, first, nr, c->low + first, e) < 0)
		return -1;
	counts_touch(c, first, nr);
	for (uint64_t i = first; i < first + nr; i++) {
		uint64_t count;

		if (c->low[i] != COUNTS_BIG)
			continue;
		c->low[i] = 0;
		if (refcounts_get(r, i, &count, e) < 0 || counts_add(c, i, 1, count, e) < 0)
			return -1;
		if (count >= UINT32_MAX)
			return err_set(e, ERR_UNSUPPORTED,
				       "host cluster %" PRIu64 " has %" PRIu64
				       " references, more than this command can carry over",
				       i, count);
	}
	return 0;
}

/* A range without a block has no counts, and its part of the array is left untouched. */
static int all_load(struct refcounts *r, struct counts *c, const struct watch *watch,
		    struct err *e)
{
	unsigned bits = geom_refcount_block_bits(r->geom);

	for (uint64_t at = 0, nr; at < c->nr; at += nr) {
		uint64_t in = at & ((UINT64_C(1) << bits) - 1);

		nr = MIN(MIN((UINT64_C(1) << bits) - in, AT_ONCE), c->nr - at);
		if (watch_stopped(watch, e) < 0)
			return -1;
		watch_progress(watch, at, c->nr * 2);
		if (at >> bits < r->table_nr && r->table[at >> bits] &&
		    counts_load(r, c, at, nr, e) < 0)
			return -1;
	}
	return 0;
}

/* The old structure is not counted by the new one. */
static int old_take(const struct refcounts *r, struct counts *c, uint64_t table_clusters,
		    struct err *e)
{
	unsigned bits = r->geom->cluster_bits;

	for (uint64_t i = 0; i < r->table_nr + table_clusters; i++) {
		uint64_t host = i < r->table_nr ? r->table[i]
						: r->table_off + ((i - r->table_nr) << bits);

		if (!host)
			continue;
		if (!counts_get(c, host >> bits))
			return err_set(e, ERR_CORRUPT,
				       "the cluster at %#" PRIx64
				       " holds refcounts and is counted as free; run check -r all",
				       host);
		counts_take(c, host >> bits, 1, 1);
	}
	return 0;
}

static int widths_check(const struct counts *c, unsigned order, unsigned cluster_bits,
			struct err *e)
{
	uint64_t most = order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << order)) - 1;

	for (uint64_t page = 0; page < counts_pages(c); page++) {
		uint64_t end = MIN((page + 1) << COUNTS_PAGE_BITS, c->nr);

		if (!c->touched[page] || (most >= COUNTS_BIG && !c->big[page]))
			continue;
		for (uint64_t i = page << COUNTS_PAGE_BITS; i < end; i++) {
			uint64_t count = c->low[i] < COUNTS_BIG ? c->low[i] : counts_get(c, i);

			if (count > most)
				return err_set(e, ERR_INVALID,
					       "Cannot decrease refcount width to %u bits: the "
					       "cluster at offset %#" PRIx64
					       " has a refcount of %" PRIu64,
					       1u << order, i << cluster_bits, count);
		}
	}
	return 0;
}

/* The first cluster from which on none is counted, `clusters` at least. */
static uint64_t free_from(const struct counts *c, uint64_t clusters)
{
	uint64_t i = c->nr;

	while (i > clusters && !c->low[i - 1])
		i -= c->touched[(i - 1) >> COUNTS_PAGE_BITS] ? 1 : (i - 1) % COUNTS_PAGE + 1;
	return MAX(i, clusters);
}

/* The header leads to the new structure, and what it does not count is free. */
static int switch_to(struct image_writer *w, const struct refcount_rebuild *b, struct err *e)
{
	struct header *h = &w->img->header;

	if (txn_begin(w->txn, AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW, e) < 0)
		return -1;
	h->refcount_table_off = b->table_off;
	h->refcount_table_clusters = b->table_clusters;
	h->refcount_order = b->order;
	txn_header(w->txn, HEADER_REFCOUNTS);
	return txn_commit(w->txn, e);
}

static int structure_replace(struct image_writer *w, struct refcount_rebuild *b, struct err *e)
{
	struct file *f = w->img->file;
	uint64_t size = file_size(f);
	struct err ignored = ERR_INIT;

	if (refcount_rebuild_write(b, e) == 0)
		return switch_to(w, b, e);
	/* Nobody knows of it yet. */
	if (file_is_regular(f) && file_truncate(f, size, &ignored) < 0)
		return -1;
	return -1;
}

/* What the new structure is to say, and where it is put. Nothing is written. */
static int structure_plan(struct image_writer *w, struct refcount_rebuild *b, struct counts *c,
			  struct err *e)
{
	struct refcounts *r = txn_refcounts(w->txn);
	uint64_t clusters = geom_clusters(b->geom, file_size(w->img->file));
	uint64_t end = counted_end(r, clusters); /* maybe far behind the end of the file */

	if (end > CLUSTERS_MAX)
		return err_set(e, ERR_UNSUPPORTED, "%" PRIu64 " clusters are more than %" PRIu64
			       ", the most that can be counted anew", end, CLUSTERS_MAX);
	if (counts_init(c, end, e) < 0 || all_load(r, c, b->watch, e) < 0 ||
	    old_take(r, c, w->img->header.refcount_table_clusters, e) < 0 ||
	    widths_check(c, b->order, b->geom->cluster_bits, e) < 0)
		return -1;
	b->first = free_from(c, clusters);
	return refcount_rebuild_plan(b, e);
}

/* replace: else it is only looked whether that is possible. */
static int order_change(struct image_writer *w, unsigned order, bool replace,
			const struct watch *watch, struct err *e)
{
	struct counts c = { 0 };
	struct refcount_rebuild b = { .file = w->img->file, .geom = writer_geom(w),
				      .order = order, .counts = &c, .watch = watch };
	int ret = -1;

	if (writer_geom(w)->refcount_order == order)
		return 0;
	if (structure_plan(w, &b, &c, e) == 0)
		ret = replace ? structure_replace(w, &b, e) : 0;
	counts_fini(&c);
	return ret;
}

int image_amend_refcount_check(struct image_writer *w, unsigned order, const struct watch *watch,
			       struct err *e)
{
	return order_change(w, order, false, watch, e);
}

int image_amend_refcount_order(struct image_writer *w, unsigned order, const struct watch *watch,
			       struct err *e)
{
	if (writer_geom(w)->version < 3 && order != writer_geom(w)->refcount_order)
		return err_set(e, ERR_INVALID,
			       "Refcount widths other than 16 bits need version 3 (compat=1.1)");
	return order_change(w, order, true, watch, e);
}
