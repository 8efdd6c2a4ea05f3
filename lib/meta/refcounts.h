#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "format/geom.h"
#include "format/header.h"
#include "meta/counts.h"
#include "meta/table_cache.h"

/* The refcounts of an image that is open for writing: the table in memory, the blocks in a cache
 * of their own. Changes stay in memory until refcounts_store(); in what order they may reach the
 * file is for the txn to say. Clusters are host clusters. One thread. */
struct refcounts {
	struct file *file;
	const struct geom *geom;
	struct table_cache *blocks;
	uint64_t table_off;  /* host offset of the table */
	uint64_t *table;     /* host offsets of the blocks, 0 = none */
	uint64_t table_nr;   /* entries */
	uint64_t from, to;   /* entries that the file does not know yet; to = 0: none */
};

/* Loads the table. ERR_CORRUPT for one that cannot be trusted: no clusters, past the end of the
 * file, reserved bits, blocks not aligned or past the end. */
int refcounts_open(struct refcounts *r, struct file *f, const struct geom *g,
		   const struct header *h, struct err *e) MUST_CHECK;
/* Forgets what was not stored. Accepts the zeroed state. */
void refcounts_close(struct refcounts *r);

/* Clusters that the table, as long as it is, can count. */
uint64_t refcounts_capacity(const struct refcounts *r);
/* 0 where there is no block. */
int refcounts_get(struct refcounts *r, uint64_t cluster, uint64_t *count,
		  struct err *e) MUST_CHECK;
/* How many of `max` (> 0) counts from `first` on are like the first one, 0 (*free) or not; the run
 * may end early. */
int refcounts_run(struct refcounts *r, uint64_t first, uint64_t max, bool *free, uint64_t *nr,
		  struct err *e) MUST_CHECK;
/* The first cluster from `from` on (below refcounts_capacity()) with count 0, and how many
 * (1..max) in a row, within one block's range; *nr = 0: none below the capacity. */
int refcounts_find_free(struct refcounts *r, uint64_t from, uint64_t max, uint64_t *first,
			uint64_t *nr, struct err *e) MUST_CHECK;
/* Adds `by` to, or takes it from, the counts first .. first+nr-1, all of which have blocks.
 * ERR_INVALID, and nothing was changed, when a count would not fit into its width; ERR_CORRUPT,
 * likewise, when one would fall below 0. */
int refcounts_raise(struct refcounts *r, uint64_t first, uint64_t nr, uint64_t by,
		    struct err *e) MUST_CHECK;
int refcounts_lower(struct refcounts *r, uint64_t first, uint64_t nr, uint64_t by,
		    struct err *e) MUST_CHECK;
/* Clusters first .. first+nr-1 become the blocks of the ranges idx .. idx+nr-1, which have none
 * yet, and are counted; they lie in these ranges. (idx: entries of the table) */
int refcounts_add_blocks(struct refcounts *r, uint64_t idx, uint64_t first, uint64_t nr,
			 struct err *e) MUST_CHECK;

/* The same for one range whose block lies anywhere; the block's own cluster is not counted. */
int refcounts_add_block_at(struct refcounts *r, uint64_t idx, uint64_t cluster,
			   struct err *e) MUST_CHECK;
/* The block of range idx, which counts nothing but itself at most, is none any more. Whoever counts
 * its cluster is the caller's to lower, once the entry is stored. Nothing of it may wait. */
void refcounts_drop_block(struct refcounts *r, uint64_t idx);
/* The table has only this many entries from now on; behind them there are no blocks, and no entry
 * waits. The header and the clusters are the caller's. */
void refcounts_shorten(struct refcounts *r, uint64_t table_nr);

/* Blocks that were made, and that no table entry in the file names yet. */
int refcounts_store_made(struct refcounts *r, struct err *e) MUST_CHECK;
/* Everything: blocks, then entries. Blocks that were made are durable already. */
int refcounts_store(struct refcounts *r, struct err *e) MUST_CHECK;
/* Whether blocks were made that are not stored. */
bool refcounts_has_made(const struct refcounts *r);

/* Counts first .. first+nr-1, one byte each, larger ones as 255. */
int refcounts_get_saturated(struct refcounts *r, uint64_t first, uint64_t nr, uint8_t *out,
			    struct err *e) MUST_CHECK;
/* Looks whether all counts could change by what `c` holds for their clusters (check), or changes
 * them: blocks may then be stored on the way. ERR_INVALID, ERR_CORRUPT. */
int refcounts_bulk(struct refcounts *r, const struct counts *c, bool raise, bool check,
		   struct err *e) MUST_CHECK;
/* Counts that lie in one slice of a block: from `cluster` on, how many of `max`; *off: the place
 * of the slice (0: there is no block), *idx: of the first one in it. */
uint64_t refcounts_slice(const struct refcounts *r, uint64_t cluster, uint64_t max,
			 uint64_t *off, uint64_t *idx);

/* A longer table, at the first clusters that the present one cannot count, behind the blocks that
 * count it. */
struct refcount_growth {
	uint64_t first; /* cluster where the blocks begin */
	uint64_t blocks;
	uint64_t table_off;
	uint32_t table_clusters;
	uint64_t *table; /* entries in memory; owned until adopted */
	uint64_t table_nr;
};
/* Says where it would be; nothing is written. */
int refcounts_plan(const struct refcounts *r, struct refcount_growth *g, struct err *e) MUST_CHECK;
/* Written and flushed; in force in the file once the header names it, and here after
 * refcounts_adopt(). Blocks that were made are durable already. */
int refcounts_grow(struct refcounts *r, struct refcount_growth *g, struct err *e) MUST_CHECK;
/* Takes g->table over. The clusters of the old table are the caller's to lower. */
void refcounts_adopt(struct refcounts *r, struct refcount_growth *g);
