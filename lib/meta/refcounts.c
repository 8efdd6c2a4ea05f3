#include "meta/refcounts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "format/refcount_block.h"
#include "format/refcount_table.h"

/* Counts that are decoded at once while free clusters are looked for. */
#define SCAN_COUNTS 1024

static int entry_take(struct refcounts *r, uint64_t idx, uint64_t raw, struct err *e)
{
	struct refcount_table_entry x = refcount_table_entry_decode(raw);
	const char *what = x.reserved                              ? "reserved bits are set"
			   : geom_in_cluster(r->geom, x.block_off) ? "it is not cluster aligned"
			   : x.block_off >= file_size(r->file) ? "it lies past the end of the file"
							       : NULL;

	if (raw && what)
		return err_set(e, ERR_CORRUPT,
			       "refcount block %" PRIu64 " at %#" PRIx64
			       ": %s; the image can be read, and repaired with check -r all",
			       idx, x.block_off, what);
	r->table[idx] = x.block_off;
	return 0;
}

int refcounts_open(struct refcounts *r, struct file *f, const struct geom *g,
		   const struct header *h, struct err *e)
{
	size_t bytes = (size_t)h->refcount_table_clusters << g->cluster_bits;
	uint8_t *raw = NULL;
	int ret = -1;

	*r = (struct refcounts){ .file = f, .geom = g, .table_off = h->refcount_table_off };
	if (!bytes || r->table_off >= file_size(f))
		return err_set(e, ERR_CORRUPT,
			       "the image has no refcount table; it can be read, and repaired with "
			       "check -r all");
	r->blocks = table_cache_new(f, g->cluster_bits, e);
	if (!r->blocks)
		return -1;
	raw = malloc(bytes);
	r->table = malloc(bytes);
	if (!raw || !r->table) {
		err_nomem(e);
		goto out;
	}
	r->table_nr = bytes / 8;
	if (file_read_padded(f, r->table_off, raw, bytes, NULL, e) < 0) {
		err_ctx(e, "refcount table");
		goto out;
	}
	for (uint64_t i = 0; i < r->table_nr; i++)
		if (entry_take(r, i, be64_get(raw + 8 * i), e) < 0)
			goto out;
	ret = 0;
out:
	free(raw);
	return ret;
}

void refcounts_close(struct refcounts *r)
{
	table_cache_free(r->blocks);
	free(r->table);
	*r = (struct refcounts){ 0 };
}

uint64_t refcounts_capacity(const struct refcounts *r)
{
	return r->table_nr << geom_refcount_block_bits(r->geom);
}

/* Where the count of a cluster is: its block (0: none), its index there. */
static uint64_t block_of(const struct refcounts *r, uint64_t cluster, uint64_t *idx)
{
	unsigned bits = geom_refcount_block_bits(r->geom);

	*idx = cluster & ((UINT64_C(1) << bits) - 1);
	return cluster >> bits < r->table_nr ? r->table[cluster >> bits] : 0;
}

uint64_t refcounts_slice(const struct refcounts *r, uint64_t cluster, uint64_t max,
			 uint64_t *off, uint64_t *in_slice)
{
	unsigned slice_bits = table_cache_slice_bits(r->blocks);
	uint64_t per_slice = (UINT64_C(8) << slice_bits) >> r->geom->refcount_order, idx;
	uint64_t block = block_of(r, cluster, &idx);

	*off = block ? block + (idx / per_slice << slice_bits) : 0;
	*in_slice = idx % per_slice;
	return MIN(max, per_slice - *in_slice);
}

int refcounts_get(struct refcounts *r, uint64_t cluster, uint64_t *count, struct err *e)
{
	const struct table_slice *s;
	uint64_t off, idx;

	refcounts_slice(r, cluster, 1, &off, &idx);
	*count = 0;
	if (!off)
		return 0;
	if (table_cache_get(r->blocks, off, &s, e) < 0)
		return err_ctx(e, "refcount block");
	*count = refcount_block_get(s->bytes, r->geom->refcount_order, idx);
	table_cache_put(r->blocks, s);
	return 0;
}

int refcounts_run(struct refcounts *r, uint64_t first, uint64_t max, bool *free, uint64_t *nr,
		  struct err *e)
{
	uint64_t off, idx, n = refcounts_slice(r, first, max, &off, &idx);
	unsigned order = r->geom->refcount_order;
	const struct table_slice *s;

	*free = true;
	*nr = n;
	if (!off)
		return 0;
	if (table_cache_get(r->blocks, off, &s, e) < 0)
		return err_ctx(e, "refcount block");
	*free = !refcount_block_get(s->bytes, order, idx);
	for (*nr = 1; *nr < n && *free == !refcount_block_get(s->bytes, order, idx + *nr);)
		++*nr;
	table_cache_put(r->blocks, s);
	return 0;
}

/* In nr counts from `in_slice` on: the first run of zeros, at most max; *at is its index behind
 * in_slice. */
static uint64_t zeros_find(const struct refcounts *r, const uint8_t *bytes, uint64_t in_slice,
			   uint64_t nr, uint64_t max, uint64_t *at)
{
	uint8_t counts[SCAN_COUNTS];
	uint64_t found = 0;

	for (uint64_t i = 0; i < nr; i += SCAN_COUNTS) {
		uint64_t n = MIN(nr - i, SCAN_COUNTS);

		refcount_block_get_saturated(bytes, r->geom->refcount_order, in_slice + i, n,
					     counts);
		for (uint64_t k = 0; k < n; k++) {
			if (counts[k] && found)
				return found;
			if (counts[k])
				continue;
			if (!found)
				*at = i + k;
			if (++found == max)
				return found;
		}
	}
	return found;
}

int refcounts_find_free(struct refcounts *r, uint64_t from, uint64_t max, uint64_t *first,
			uint64_t *nr, struct err *e)
{
	uint64_t range = UINT64_C(1) << geom_refcount_block_bits(r->geom), n;
	uint64_t end = refcounts_capacity(r);

	*nr = 0;
	for (uint64_t cluster = from; cluster < end && !*nr; cluster += n) {
		const struct table_slice *s;
		uint64_t off, in_slice, at;

		n = refcounts_slice(r, cluster, UINT64_MAX, &off, &in_slice);
		if (!off) {
			*first = cluster;
			*nr = MIN(max, range - (cluster & (range - 1)));
			return 0;
		}
		if (table_cache_get(r->blocks, off, &s, e) < 0)
			return err_ctx(e, "refcount block");
		*nr = zeros_find(r, s->bytes, in_slice, n, max, &at);
		table_cache_put(r->blocks, s);
		if (*nr)
			*first = cluster + at;
	}
	return 0;
}

static int change_refuse(const struct refcounts *r, uint64_t cluster, uint64_t count, uint64_t by,
			 bool raise, struct err *e)
{
	if (raise)
		return err_set(
			e, ERR_INVALID,
			"the refcount of cluster %" PRIu64 " would become %" PRIu64
			", which does not fit into %u bits; amend -o refcount_bits=... makes room",
			cluster, count + by, 1u << r->geom->refcount_order);
	return err_set(e, ERR_CORRUPT,
		       "cluster %" PRIu64 " has refcount %" PRIu64
		       " and is in use more often; run check -r all",
		       cluster, count);
}

/* Whether all counts can change by `by`. */
static int change_check(struct refcounts *r, uint64_t first, uint64_t nr, uint64_t by,
			bool raise, struct err *e)
{
	uint64_t most = geom_refcount_max(r->geom), off, idx, n, i, count = 0;
	const struct table_slice *s;

	if (raise && by > most)
		return err_set(e, ERR_INVALID, "a refcount of %" PRIu64 " does not fit into %u bits",
			       by, 1u << r->geom->refcount_order);
	for (; nr; first += n, nr -= n) {
		s = NULL;
		n = refcounts_slice(r, first, nr, &off, &idx);
		if (off && table_cache_get(r->blocks, off, &s, e) < 0)
			return err_ctx(e, "refcount block");
		for (i = 0; i < n; i++) {
			count = s ? refcount_block_get(s->bytes, r->geom->refcount_order, idx + i)
				  : 0;
			if (raise ? count > most - by : count < by)
				break;
		}
		table_cache_put(r->blocks, s);
		if (i < n)
			return change_refuse(r, first + i, count, by, raise, e);
	}
	return 0;
}

static void counts_change(uint8_t *bytes, unsigned order, uint64_t idx, uint64_t nr,
			  uint64_t delta)
{
	for (uint64_t i = idx; i < idx + nr; i++)
		refcount_block_set(bytes, order, i, refcount_block_get(bytes, order, i) + delta);
}

static int change(struct refcounts *r, uint64_t first, uint64_t nr, uint64_t delta,
		  struct err *e)
{
	unsigned order = r->geom->refcount_order;

	while (nr) {
		uint64_t off, idx, n = refcounts_slice(r, first, nr, &off, &idx);
		uint64_t byte = idx << order >> 3, end = (((idx + n) << order) + 7) >> 3;

		if (!off)
			return err_set(e, ERR_CORRUPT,
				       "cluster %" PRIu64 " is in use and has no refcount block; "
				       "run check -r all",
				       first);
		uint8_t *p = table_cache_modify(r->blocks, off + byte, end - byte, e);

		if (!p)
			return err_ctx(e, "refcount block");
		/* Narrow counts share bytes: index from the byte that was asked for. */
		counts_change(p, order, idx - ((byte << 3) >> order), n, delta);
		first += n;
		nr -= n;
	}
	return 0;
}

int refcounts_raise(struct refcounts *r, uint64_t first, uint64_t nr, uint64_t by,
		    struct err *e)
{
	return change_check(r, first, nr, by, true, e) < 0 ? -1 : change(r, first, nr, by, e);
}

int refcounts_lower(struct refcounts *r, uint64_t first, uint64_t nr, uint64_t by,
		    struct err *e)
{
	return change_check(r, first, nr, by, false, e) < 0 ? -1
							    : change(r, first, nr, 0 - by, e);
}

/* Entries that the file does not know yet. */
static void entries_changed(struct refcounts *r, uint64_t from, uint64_t to)
{
	r->from = r->to ? MIN(r->from, from) : from;
	r->to = MAX(r->to, to);
}

int refcounts_add_block_at(struct refcounts *r, uint64_t idx, uint64_t cluster, struct err *e)
{
	uint64_t off = cluster << r->geom->cluster_bits;

	if (table_cache_make(r->blocks, off, geom_cluster_size(r->geom), e) < 0)
		return -1;
	r->table[idx] = off;
	entries_changed(r, idx, idx + 1);
	return 0;
}

int refcounts_add_blocks(struct refcounts *r, uint64_t idx, uint64_t first, uint64_t nr,
			 struct err *e)
{
	for (uint64_t i = 0; i < nr; i++)
		if (refcounts_add_block_at(r, idx + i, first + i, e) < 0)
			return -1;
	return change(r, first, nr, 1, e);
}

void refcounts_drop_block(struct refcounts *r, uint64_t idx)
{
	table_cache_forget(r->blocks, r->table[idx], geom_cluster_size(r->geom));
	r->table[idx] = 0;
	entries_changed(r, idx, idx + 1);
}

void refcounts_shorten(struct refcounts *r, uint64_t table_nr)
{
	r->table_nr = table_nr;
}

bool refcounts_has_made(const struct refcounts *r)
{
	return r->to > 0;
}

int refcounts_store_made(struct refcounts *r, struct err *e)
{
	return table_cache_store(r->blocks, TABLE_STORE_MADE, e);
}

int refcounts_store(struct refcounts *r, struct err *e)
{
	uint64_t from = align_down(r->from, 64), to = MIN(align_up(r->to, 64), r->table_nr);
	uint8_t *raw;
	int ret;

	if (table_cache_store(r->blocks, TABLE_STORE_ALL, e) < 0)
		return -1;
	if (!r->to)
		return 0;
	raw = malloc((to - from) * 8);
	if (!raw)
		return err_nomem(e);
	for (uint64_t i = from; i < to; i++)
		be64_put(raw + 8 * (i - from), r->table[i]);
	ret = file_write_at(r->file, r->table_off + from * 8, raw, (to - from) * 8, e);
	free(raw);
	if (ret == 0)
		r->from = r->to = 0;
	return ret;
}
