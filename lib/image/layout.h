#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "format/geom.h"
#include "image/create.h"

/* Where the parts of a new image go when all of them are known beforehand: an empty image, or
 * a preallocated one. Header, refcount table, refcount blocks, L1 table, LUKS header, L2 tables, data, each
 * directly behind the other. Offsets in bytes, counts as named. */
struct layout {
	uint64_t refcount_table_off, refcount_table_clusters;
	uint64_t refcount_block_off, refcount_block_nr;
	uint64_t l1_off, l1_nr; /* entries; l1_off is 0 when there are none */
	uint64_t luks_off, luks_clusters; /* header and key slots; 0 without LUKS */
	uint64_t l2_off, l2_nr; /* tables; 0 unless preallocated */
	uint64_t data_off, data_clusters;
	uint64_t end; /* clusters in all */
};

struct geom create_geom(const struct create_options *o);

/* Refcount blocks and table clusters that count `clusters` clusters and themselves. */
void refcounts_needed(const struct geom *g, uint64_t clusters, uint64_t *blocks,
		      uint64_t *table_clusters);

/* l->luks_clusters is given. mapped: with L2 tables and data clusters for the whole disk; the data clusters are elsewhere
 * when the image has an external data file. */
int layout_plan(const struct geom *g, bool mapped, struct layout *l, struct err *e);
