#include "image/snapshots_internal.h"

#include <inttypes.h>

#include "base/align.h"
#include "base/text.h"

struct apply {
	struct counts more, less; /* references that the new and the old tree make */
	struct tree_seen seen;
	bool sure; /* what becomes free is nobody's */
};

/* The place of the disk's new L1 table: the snapshot's entries, none of them claimed. */
static int apply_grow(struct image_writer *w, const struct snapshot_entry *s, uint64_t size,
		      struct err *e)
{
	struct header *h = &w->img->header;
	struct tree t = snapshots_tree(s);
	uint64_t nr = MAX(geom_l1_entries(writer_geom(w), size), t.l1_nr), host = 0;

	if (nr &&
	    (txn_take_all(w->txn, geom_clusters(writer_geom(w), nr * 8), &host, e) < 0 ||
	     tree_l1_copy(w->txn, &t, host, (uint32_t)nr, e) < 0))
		return -1;
	h->l1_table_off = host;
	h->l1_size = (uint32_t)nr;
	h->size = size;
	txn_header(w->txn, HEADER_L1 | HEADER_SIZE);
	return 0;
}

/* A snapshot that does not say how large its disk was has the size of the disk as it is
 * (8.1). */
static int sizes_check(const struct image_writer *w, uint64_t size, struct err *e)
{
	const struct image *img = w->img;
	char shown[64];

	if (size == img->header.size)
		return 0;
	for (uint32_t i = 0; i < img->snapshot_nr; i++) {
		const struct snapshot_entry *s = &img->snapshots[i];

		if (!s->has_disk_size)
			return err_set(
				e, ERR_UNSUPPORTED,
				"the disk would get another size, and the snapshot '%s' does "
				"not say how large its disk is",
				text_escape(s->name.p, s->name.n, shown, sizeof shown));
	}
	return 0;
}

static int apply_check(const struct image_writer *w, const struct snapshot_entry *s,
		       uint64_t *size, struct err *e)
{
	const struct header *h = &w->img->header;

	*size = s->has_disk_size ? s->disk_size : h->size;
	if (h->has_bitmaps_ext && (h->autoclear_features & AUTOCLEAR_BITMAPS))
		return err_set(
			e, ERR_UNSUPPORTED,
			"the image has persistent bitmaps, which would not tell of the change; "
			"remove them first");
	if (writer_geom(w)->data_file)
		return err_set(e, ERR_UNSUPPORTED,
			       "an image with an external data file can't have snapshots");
	if (snapshots_l1_check(w, s, e) < 0)
		return -1;
	if (*size > FILE_OFFSET_MAX - SECTOR_SIZE ||
	    geom_l1_entries(writer_geom(w), *size) * 8 > L1_BYTES_MAX)
		return err_set(e, ERR_CORRUPT,
			       "the snapshot's disk size, %" PRIu64 ", is out of range",
			       *size);
	return sizes_check(w, *size, e);
}

/* Raise what only the snapshot's tree maps, switch the L1 table, then lower what only the
 * old tree mapped: what both map has as many owners before as after, and the switch is one
 * write. The flags in the tables of the snapshot mean nothing (5.5), and are cleared before
 * they could. */
static int apply_run(struct image_writer *w, const struct snapshot_entry *s, uint64_t size,
		     const struct apply *a, const struct watch *watch, struct err *e)
{
	struct tree t = snapshots_tree(s);
	struct watch to_the_end = watch_to_the_end(watch);

	if (txn_begin(w->txn, SNAPSHOTS_KEEP_UP, e) < 0 || apply_grow(w, s, size, e) < 0 ||
	    txn_settle(w->txn, e) < 0 || txn_withdraw(w->txn, e) < 0 ||
	    snapshots_claims_drop(w, &t, &a->seen, &to_the_end, e) < 0 ||
	    txn_counts_apply(w->txn, &a->more, true, e) < 0 || txn_commit(w->txn, e) < 0)
		return -1;
	return snapshots_release_and_claim(w, &a->less, &to_the_end, e);
}

/* Counts that do not cover both trees, taken together, are no ground to build on. */
static int apply_count(struct image_writer *w, const struct tree *t, struct apply *a,
		       const struct watch *watch, struct err *e)
{
	struct tree old = snapshots_active_tree(w);
	struct counts all = { 0 };
	struct tree_counts counted = { &a->more, &a->less, &all };
	int ret = -1;

	if (snapshots_counts_new(w, &a->more, e) == 0 &&
	    snapshots_counts_new(w, &a->less, e) == 0 &&
	    snapshots_counts_new(w, &all, e) == 0 &&
	    tree_count(w->txn, t, 1, &old, &counted, &a->seen, watch, e) == 0 &&
	    (!old.l1_nr || (snapshots_l1_count(w, &old, &a->less, e) == 0 &&
			    snapshots_l1_count(w, &old, &all, e) == 0)))
		ret = txn_counts_check(w->txn, &all, false, e);
	counts_fini(&all);
	if (ret < 0)
		return -1;
	counts_cancel(&a->more, &a->less);
	if (txn_counts_check(w->txn, &a->more, true, e) < 0)
		return -1;
	return txn_freed_check(w->txn, &a->less, snapshots_l1_clusters(w, &old), &a->sure, watch, e);
}

int image_snapshot_apply(struct image_writer *w, uint32_t idx, const struct watch *watch,
			 struct err *e)
{
	const struct snapshot_entry *s = &w->img->snapshots[idx];
	struct apply a = { 0 };
	struct tree t = snapshots_tree(s);
	uint64_t size;
	int ret = -1;

	if (apply_check(w, s, &size, e) == 0 && apply_count(w, &t, &a, watch, e) == 0 &&
	    snapshots_others_check(w, w->img->snapshot_nr - 1, watch, e) == 0)
		ret = apply_run(w, s, size, &a, watch, e);
	if (ret == 0 && a.sure)
		txn_freed_punch(w->txn, &a.less);
	counts_fini(&a.more);
	counts_fini(&a.less);
	w->l1_idx = UINT64_MAX;
	return ret;
}
