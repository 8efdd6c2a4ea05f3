#pragma once
/* What the changes of snapshots share. */
#include "image/snapshots.h"
#include "image/writer_internal.h"
#include "meta/tree.h"

/* Bitmaps tell what changed on the disk; a snapshot changes nothing there. */
#define SNAPSHOTS_KEEP_UP (AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW)

static inline struct tree snapshots_active_tree(const struct image_writer *w)
{
	return (struct tree){ w->img->header.l1_table_off, w->img->header.l1_size };
}

static inline struct tree snapshots_tree(const struct snapshot_entry *s)
{
	return (struct tree){ s->l1_off, s->l1_nr };
}

/* Counts for the clusters of the file; counts_fini(), also after an error. */
int snapshots_counts_new(const struct image_writer *w, struct counts *c,
			 struct err *e) MUST_CHECK;
/* So many snapshots were not looked at: nothing is taken that one of them may have. */
int snapshots_others_check(struct image_writer *w, uint32_t others, const struct watch *watch,
			   struct err *e) MUST_CHECK;
/* Clusters of an L1 table. */
uint64_t snapshots_l1_clusters(const struct image_writer *w, const struct tree *t);
/* Adds a reference to each of them. */
int snapshots_l1_count(const struct image_writer *w, const struct tree *t, struct counts *c,
		       struct err *e) MUST_CHECK;
/* ERR_CORRUPT: there is no L1 table to go by. Other snapshots are not asked: what they refer to is
 * counted, and stays so. */
int snapshots_l1_check(const struct image_writer *w, const struct snapshot_entry *s,
		       struct err *e) MUST_CHECK;
/* The end of step 1: claims of the tree, if any were seen, are withdrawn, durably. */
int snapshots_claims_drop(struct image_writer *w, const struct tree *t,
			  const struct tree_seen *seen, const struct watch *watch,
			  struct err *e) MUST_CHECK;
/* Steps 4 and 5: releases what `less` says, and claims what the active disk then has for itself. */
int snapshots_release_and_claim(struct image_writer *w, const struct counts *less,
				const struct watch *watch, struct err *e) MUST_CHECK;
