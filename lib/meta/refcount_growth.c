/* A refcount table that has become too short (4.7). The new one lies where the old one's reach
 * ends, behind blocks that count it and themselves: nothing old has to change before the header
 * names it. */
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "format/refcount_block.h"
#include "meta/refcounts.h"

/* Blocks and table count themselves, so it is a fixed point. Half as many entries more than now:
 * growing stays rare. */
int refcounts_plan(const struct refcounts *r, struct refcount_growth *g, struct err *e)
{
	uint64_t size = geom_cluster_size(r->geom), known, clusters = 0;
	uint64_t range = UINT64_C(1) << geom_refcount_block_bits(r->geom);
	uint64_t most = REFCOUNT_TABLE_BYTES_MAX / size;

	*g = (struct refcount_growth){ .first = refcounts_capacity(r) };
	do {
		known = g->blocks + clusters;
		clusters = div_up((r->table_nr + r->table_nr / 2 + g->blocks) * 8, size);
		clusters = MIN(MAX(clusters, 1), MAX(most, 1));
		g->blocks = div_up(g->blocks + clusters, range);
	} while (g->blocks + clusters != known);
	g->table_off = (g->first + g->blocks) << r->geom->cluster_bits;
	g->table_clusters = (uint32_t)clusters;
	g->table_nr = clusters * size >> 3;
	if (r->table_nr + g->blocks > g->table_nr ||
	    g->first + g->blocks + clusters > HOST_OFFSET_MAX >> r->geom->cluster_bits)
		return err_set(e, ERR_INVALID,
			       "the image file can't grow any more: its refcount table has the "
			       "largest size already");
	return 0;
}

static int blocks_write(const struct refcounts *r, const struct refcount_growth *g,
			struct err *e)
{
	uint64_t size = geom_cluster_size(r->geom), left = g->blocks + g->table_clusters;
	uint64_t range = UINT64_C(1) << geom_refcount_block_bits(r->geom);
	uint8_t *block = malloc(size);
	int ret = block ? 0 : err_nomem(e);

	for (uint64_t i = 0; ret == 0 && i < g->blocks; i++) {
		uint64_t n = MIN(left, range);

		memset(block, 0, size);
		refcount_block_fill(block, r->geom->refcount_order, 0, n, 1);
		ret = file_write_at(r->file, (g->first + i) << r->geom->cluster_bits, block,
				    size, e);
		left -= n;
	}
	free(block);
	return ret;
}

static int table_write(const struct refcounts *r, const struct refcount_growth *g,
		       struct err *e)
{
	uint8_t *raw = malloc(g->table_nr * 8);
	int ret;

	if (!raw)
		return err_nomem(e);
	for (uint64_t i = 0; i < g->table_nr; i++)
		be64_put(raw + 8 * i, g->table[i]);
	ret = file_write_at(r->file, g->table_off, raw, g->table_nr * 8, e);
	free(raw);
	return ret;
}

int refcounts_grow(struct refcounts *r, struct refcount_growth *g, struct err *e)
{
	g->table = calloc(g->table_nr, sizeof *g->table);
	if (!g->table)
		return err_nomem(e);
	memcpy(g->table, r->table, r->table_nr * sizeof *g->table);
	for (uint64_t i = 0; i < g->blocks; i++)
		g->table[r->table_nr + i] = (g->first + i) << r->geom->cluster_bits;
	if (blocks_write(r, g, e) == 0 && table_write(r, g, e) == 0 &&
	    file_flush(r->file, e) == 0)
		return 0;
	free(g->table);
	g->table = NULL;
	return -1;
}

void refcounts_adopt(struct refcounts *r, struct refcount_growth *g)
{
	free(r->table);
	r->table = g->table;
	r->table_nr = g->table_nr;
	r->table_off = g->table_off;
	r->from = r->to = 0;
	g->table = NULL;
}
