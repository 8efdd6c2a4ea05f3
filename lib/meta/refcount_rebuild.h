#pragma once
#include "base/watch.h"
#include "io/file.h"
#include "format/geom.h"
#include "meta/counts.h"

/* A whole new refcount structure beside the old one, of any width: blocks, then the table, in one
 * piece. Nothing old is touched; it comes in force when the header names it (14.4). */
struct refcount_rebuild {
	struct file *file;
	const struct geom *geom;     /* its width is not looked at */
	unsigned order;		     /* the new width */
	const struct counts *counts; /* what is to be said of each cluster; the old structure and
				      * the new one are not among them */
	uint64_t first;		     /* cluster where it is put; from there on nothing is counted */
	const struct watch *watch;   /* may be NULL */

	/* found by refcount_rebuild_plan() */
	uint64_t blocks;
	uint64_t table_off; /* host bytes */
	uint32_t table_clusters;
};

/* Finds how much it takes: blocks + table_clusters clusters from b->first on. ERR_INVALID when the
 * table would be larger than it may be. */
int refcount_rebuild_plan(struct refcount_rebuild *b, struct err *e) MUST_CHECK;
/* Writes it, and flushes. ERR_INVALID when a count does not fit into the width. */
int refcount_rebuild_write(struct refcount_rebuild *b, struct err *e) MUST_CHECK;
