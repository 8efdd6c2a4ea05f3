#pragma once
#include "meta/overlap.h"
#include "meta/refcounts.h"
#include "meta/txn.h"

/* Clusters that adjoin, and what happens to their counts. */
struct cluster_run {
	uint64_t first, nr, times;
};

struct cluster_runs {
	struct cluster_run *items;
	size_t nr, room;
};

struct txn {
	struct txn_image img;
	struct refcounts refcounts;
	struct overlap overlap;
	uint64_t file_end;	     /* bytes the file had when it began */
	uint64_t hint;		     /* below this cluster none is free, or it is below the floor */
	uint64_t floor;		     /* nothing is taken below this cluster */
	uint64_t freed_from, freed_to; /* clusters that became free lie in this range */
	struct cluster_runs taken;   /* since the last commit */
	struct cluster_runs released; /* likewise */
	unsigned header_fields;	     /* changed in memory only */
	uint8_t *header_whole;	     /* what the header is to become as a whole, or NULL */
	bool begun, punch;
	bool pointing;		     /* the file may point to what was taken */
	bool dead;		     /* an error left it in the middle */
};

/* Clusters that a refcount block counts. */
static inline uint64_t txn_block_range(const struct txn *x)
{
	return UINT64_C(1) << geom_refcount_block_bits(x->img.geom);
}

int txn_alive(const struct txn *x, struct err *e);
/* Adds to a list; joins what adjoins the last item. */
int cluster_runs_add(struct cluster_runs *v, uint64_t first, uint64_t nr, uint64_t times,
		     struct err *e);
/* Learns where metadata is. */
int txn_overlap_load(struct txn *x, struct err *e);
/* Writes these header fields now. */
int txn_header_write(struct txn *x, unsigned fields, struct err *e);
/* Gives back what was taken since the last commit. */
int txn_give_back(struct txn *x, struct err *e);
/* Makes the released clusters free, as far as nobody else uses them. */
int txn_release_apply(struct txn *x, struct err *e);
