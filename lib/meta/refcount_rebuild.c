#include "meta/refcount_rebuild.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/bytes.h"
#include "format/limits.h"
#include "format/refcount_block.h"

#define BUFFER ((uint64_t)1 << 20)

static unsigned range_bits(const struct refcount_rebuild *b)
{
	return b->geom->cluster_bits + 3 - b->order;
}

/* Whether any cluster first .. end-1 is counted. */
static bool any_counted(const struct counts *c, uint64_t first, uint64_t end)
{
	end = MIN(end, c->nr);
	while (first < end) {
		uint64_t page_end = MIN(align_up(first + 1, COUNTS_PAGE), end);

		if (c->touched[first >> COUNTS_PAGE_BITS] &&
		    !bytes_are_zero(c->low + first, page_end - first))
			return true;
		first = page_end;
	}
	return false;
}

/* Whether range idx needs a block, with new clusters b->first .. end-1. */
static bool range_used(const struct refcount_rebuild *b, uint64_t idx, uint64_t end)
{
	unsigned bits = range_bits(b);
	uint64_t first = idx << bits, next = (idx + 1) << bits;

	return (b->first < next && end > first) || any_counted(b->counts, first, next);
}

/* The new clusters count themselves, so it is a fixed point. */
int refcount_rebuild_plan(struct refcount_rebuild *b, struct err *e)
{
	unsigned bits = range_bits(b);
	uint64_t size = geom_cluster_size(b->geom), known, old = 0;

	for (uint64_t i = 0; i < b->first >> bits; i++)
		old += any_counted(b->counts, i << bits, (i + 1) << bits);
	b->blocks = b->table_clusters = 0;
	do {
		uint64_t last = b->first + b->blocks + b->table_clusters;

		known = last;
		last = MAX(last, b->first + 1) - 1;
		b->blocks = old + (last >> bits) - (b->first >> bits) + 1;
		b->table_clusters = (uint32_t)div_up(((last >> bits) + 1) * 8, size);
		if ((last >> bits) >= REFCOUNT_TABLE_BYTES_MAX / 8 ||
		    last > HOST_OFFSET_MAX >> b->geom->cluster_bits)
			return err_set(e, ERR_INVALID,
				       "the file is too large for refcounts of %u bits",
				       1u << b->order);
	} while (b->first + b->blocks + b->table_clusters != known);
	b->table_off = (b->first + b->blocks) << b->geom->cluster_bits;
	return 0;
}

/* The counts of a range. */
static int block_make(const struct refcount_rebuild *b, uint64_t idx, uint8_t *block, struct err *e)
{
	unsigned bits = range_bits(b);
	uint64_t start = idx << bits, next = (idx + 1) << bits;
	uint64_t from = MAX(b->first, start);
	uint64_t to = MIN(b->first + b->blocks + b->table_clusters, next);
	uint64_t most = b->order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << b->order)) - 1;

	memset(block, 0, geom_cluster_size(b->geom));
	for (uint64_t i = start; i < MIN(next, b->counts->nr); i++) {
		uint64_t count = b->counts->low[i];

		if (count == COUNTS_BIG)
			count = counts_get(b->counts, i);
		if (count > most)
			return err_set(e, ERR_INVALID,
				       "host cluster %" PRIu64 " has %" PRIu64
				       " references, too many for refcounts of %u bits",
				       i, count, 1u << b->order);
		if (count)
			refcount_block_set(block, b->order, i - start, count);
	}
	if (from < to)
		refcount_block_fill(block, b->order, from - start, to - from, 1);
	return 0;
}

/* Blocks that wait in a buffer for the next large write. */
struct gather {
	uint8_t *bytes;
	uint64_t host; /* of the first */
	size_t n, room;
};

static int gather_write(const struct refcount_rebuild *b, struct gather *g, struct err *e)
{
	int ret = g->n ? file_write_at(b->file, g->host, g->bytes, g->n, e) : 0;

	g->host += g->n;
	g->n = 0;
	return ret;
}

static int blocks_write(const struct refcount_rebuild *b, struct gather *g, uint8_t *table,
			struct err *e)
{
	uint64_t size = geom_cluster_size(b->geom), end = b->first + b->blocks + b->table_clusters;
	uint64_t ranges = ((end - 1) >> range_bits(b)) + 1;

	for (uint64_t i = 0; i < ranges; i++) {
		if (!range_used(b, i, end))
			continue;
		if (watch_stopped(b->watch, e) < 0 ||
		    (g->n + size > g->room && gather_write(b, g, e) < 0) ||
		    block_make(b, i, g->bytes + g->n, e) < 0)
			return -1;
		be64_put(table + i * 8, g->host + g->n);
		g->n += size;
	}
	return gather_write(b, g, e);
}

int refcount_rebuild_write(struct refcount_rebuild *b, struct err *e)
{
	uint64_t size = geom_cluster_size(b->geom), table_len = b->table_clusters * size;
	struct gather g = { .host = b->first << b->geom->cluster_bits, .room = MAX(BUFFER, size) };
	uint8_t *table = calloc(b->table_clusters, size);
	int ret = -1;

	g.bytes = malloc(g.room);
	if (!g.bytes || !table)
		err_nomem(e);
	else if (blocks_write(b, &g, table, e) == 0 &&
		 file_write_at(b->file, b->table_off, table, table_len, e) == 0)
		ret = file_flush(b->file, e);
	free(g.bytes);
	free(table);
	return ret;
}
