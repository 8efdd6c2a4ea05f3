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

/* Bytes of L2 tables that are looked at for the sake of a few clusters. */
#define LOOK_BYTES_MAX (UINT64_C(256) << 20)

int image_writer_few_check(struct image_writer *w, const struct watch *watch, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t tables = geom_clusters(g, file_size(w->img->file)) << g->l2_entry_bits;
	bool grows = file_is_regular(w->img->file); /* behind the end of a device there is nothing */
	struct err why = ERR_INIT;

	if (tables <= LOOK_BYTES_MAX || !grows) {
		if (image_writer_counts_check(w, watch, &why) == 0)
			return 0;
		if (why.code == ERR_STOPPED || why.code == ERR_NOMEM || !grows) {
			*e = why;
			return -1;
		}
		warn_to(w->listener, "'%s': %s", disk_name(w->disk), why.text);
	}
	return txn_take_behind_end(w->txn, e);
}
