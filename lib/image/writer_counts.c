/* Refcounts of a damaged image may be too low. Who takes and gives up clusters by them would write over
 * what somebody has, or let go of what two refer to. */
#include <stdlib.h>

#include "image/snapshots_internal.h"

/* The disk and the snapshots that have a tree to go by. */
static uint32_t trees_list(const struct image_writer *w, struct tree *trees)
{
	struct err ignored = ERR_INIT;
	uint32_t nr = 0;

	trees[nr++] = snapshots_active_tree(w);
	for (uint32_t i = 0; i < w->img->snapshot_nr; i++)
		if (snapshots_l1_check(w, &w->img->snapshots[i], &ignored) == 0)
			trees[nr++] = snapshots_tree(&w->img->snapshots[i]);
	return nr;
}

int image_writer_counts_check(struct image_writer *w, const struct watch *watch, struct err *e)
{
	struct tree *trees = calloc(w->img->snapshot_nr + UINT64_C(1), sizeof *trees);
	struct counts all = { 0 };
	struct tree_counts counted = { .of = &all };
	struct tree_seen seen = { 0 };
	int ret = -1;

	if (!trees)
		return err_nomem(e);
	if (snapshots_counts_new(w, &all, e) == 0 &&
	    tree_count(w->txn, trees, trees_list(w, trees), NULL, &counted, &seen, watch, e) == 0 &&
	    txn_counts_apart(w->txn, &all, e) == 0)
		ret = txn_counts_check(w->txn, &all, false, e);
	counts_fini(&all);
	free(trees);
	return ret;
}
