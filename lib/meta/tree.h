#pragma once
#include "base/watch.h"
#include "meta/counts.h"
#include "meta/txn.h"

/* Whole trees: an L1 table and everything below it, the active disk's or a snapshot's. Each of
 * these reads every table of the tree once, in host order. They work on the file: nothing that was
 * edited may wait in the image's table cache. */
struct tree {
	uint64_t l1_off;
	uint32_t l1_nr; /* entries */
};

/* What was seen while counting. */
struct tree_seen {
	bool claims; /* some COPIED flag, not of the active tree alone if there are two */
};

/* Where references are counted; all of them cover the clusters of the file. */
struct tree_counts {
	struct counts *of;     /* those that the trees make */
	struct counts *active; /* those of the active tree, or NULL */
	struct counts *all;    /* all of them, or NULL: refcounts must not be less */
};

/* Adds the references that nr trees make, and the active one unless it is NULL: to L2 tables, and to
 * what they map, the L1 tables left out. A table that several share is read once. *seen: added to.
 * ERR_CORRUPT when something cannot be followed or lies past the end of the file. */
int tree_count(struct txn *x, const struct tree *trees, uint32_t nr, const struct tree *active,
	       const struct tree_counts *c, struct tree_seen *seen, const struct watch *watch,
	       struct err *e) MUST_CHECK;

/* COPIED flags in the L2 tables of a tree, and in its L1 table (5.5). */
enum tree_claims {
	TREE_CLAIMS_DROP, /* cleared: withdrawn before counts rise (step 1) */
	TREE_CLAIMS_SET,  /* as the refcounts say: made after counts have fallen (step 5) */
};
/* Written to the file, not flushed. */
int tree_claims(struct txn *x, const struct tree *t, enum tree_claims how,
		const struct watch *watch, struct err *e) MUST_CHECK;
/* Copies the tree's L1 table to `to`, where `nr` entries (at least t->l1_nr) have room, without COPIED
 * flags and with zeros behind; not flushed. */
int tree_l1_copy(struct txn *x, const struct tree *t, uint64_t to, uint32_t nr,
		 struct err *e) MUST_CHECK;

/* Whether all counts could rise, or fall, by what `c` holds: ERR_INVALID, ERR_CORRUPT. */
int txn_counts_check(struct txn *x, const struct counts *c, bool raise, struct err *e) MUST_CHECK;
/* ERR_CORRUPT if something that `c` counts lies on metadata other than L2 tables. */
int txn_counts_apart(const struct txn *x, const struct counts *c, struct err *e) MUST_CHECK;
/* Raises (step 2) or lowers (step 4) all counts by what `c` holds, block by block in file order.
 * They may reach the file at once. Checked before. */
int txn_counts_apply(struct txn *x, const struct counts *c, bool raise, struct err *e) MUST_CHECK;

/* What the whole image refers to, as it is in the file: all structures, the disk, all snapshots.
 * counts_fini(), also after an error; ERR_CORRUPT when something can't be followed. */
int txn_references(struct txn *x, struct counts *c, const struct watch *watch,
		   struct err *e) MUST_CHECK;
/* Before refcounts fall by `less`, in which `own` clusters are those of tables that nobody shares: if
 * others become free, all of the image is looked at. ERR_CORRUPT if something has a refcount that
 * is too low, for it might be let go of. *sure: what becomes free is nobody's. It is not sure where
 * something can't be followed, and needs not be where nothing becomes free. */
int txn_freed_check(struct txn *x, const struct counts *less, uint64_t own, bool *sure,
		    const struct watch *watch, struct err *e) MUST_CHECK;
/* When they have fallen, durably, and that was sure: gives the space back to the file system. */
void txn_freed_punch(struct txn *x, const struct counts *less);

/* Sets the dirty bit, durably (version 3): refcounts and claims may be behind until
 * txn_claimed(). Part of step 1. */
int txn_withdraw(struct txn *x, struct err *e) MUST_CHECK;
/* Makes all that was done durable, then clears the dirty bit (end of step 5). */
int txn_claimed(struct txn *x, struct err *e) MUST_CHECK;
