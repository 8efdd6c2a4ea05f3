#include "image/snapshots.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "image/writer_internal.h"
#include "meta/tree.h"

/* Bitmaps tell what changed on the disk; a snapshot changes nothing there. */
#define KEPT_UP (AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW)

static struct tree active_tree(const struct image_writer *w)
{
	return (struct tree){ w->img->header.l1_table_off, w->img->header.l1_size };
}

static int counts_new(const struct image_writer *w, struct counts *c, struct err *e)
{
	return counts_init(c, geom_clusters(writer_geom(w), file_size(w->img->file)), e);
}

/* The clusters of a snapshot's own L1 table. */
static int l1_count(const struct image_writer *w, const struct tree *t, struct counts *c,
		    struct err *e)
{
	unsigned bits = writer_geom(w)->cluster_bits;

	return counts_add(c, t->l1_off >> bits,
			  geom_clusters(writer_geom(w), t->l1_nr * UINT64_C(8)), 1, e);
}

static uint64_t table_len(const struct snapshot_entry *all, uint32_t nr)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < nr; i++)
		len += snapshot_entry_len(&all[i], len);
	return len;
}

/* Writes a snapshot table to new clusters; it is in force with the header fields that are set
 * here. The old table's clusters are released. */
int writer_snapshot_table(struct image_writer *w, const struct snapshot_entry *all, uint32_t nr,
			  struct err *e)
{
	struct header *h = &w->img->header;
	uint64_t len = table_len(all, nr), old_len = 0, host = 0, old = h->snapshots_off;
	uint8_t *bytes;
	int ret = 0;

	if (len > SNAPSHOT_TABLE_BYTES_MAX)
		return err_set(e, ERR_INVALID, "the snapshot table would be larger than 64 MiB");
	bytes = calloc(1, align_up(len, SECTOR_SIZE) + 1);
	if (!bytes)
		return err_nomem(e);
	struct wr out = wr_over(bytes, len);

	for (uint32_t i = 0; i < nr; i++)
		snapshot_entry_encode(&out, &all[i]);
	if (nr)
		ret = txn_take_all(w->txn, geom_clusters(writer_geom(w), len), &host, e) < 0 ||
				      file_write_at(w->img->file, host, bytes,
						    align_up(len, SECTOR_SIZE), e) < 0
			      ? -1
			      : 0;
	free(bytes);
	for (uint32_t i = 0; i < w->img->snapshot_nr; i++)
		old_len += snapshot_entry_stored_len(&w->img->snapshots[i], old_len);
	if (ret < 0 || (w->img->snapshot_nr && old_len &&
			txn_release(w->txn, old, old_len, 1, e) < 0))
		return -1;
	h->nb_snapshots = nr;
	h->snapshots_off = host;
	txn_header(w->txn, HEADER_SNAPSHOTS);
	return 0;
}

/* The number that an id begins with (8.2). */
static uint64_t id_number(struct bytes id)
{
	uint64_t n = 0;

	for (size_t i = 0; i < id.n && id.p[i] >= '0' && id.p[i] <= '9' && n < UINT32_MAX; i++)
		n = n * 10 + (id.p[i] - '0');
	return n;
}

static void id_choose(const struct image_writer *w, char *id, size_t room)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < w->img->snapshot_nr; i++)
		most = MAX(most, id_number(w->img->snapshots[i].id));
	snprintf(id, room, "%" PRIu64, most + 1);
}

static int create_check(const struct image_writer *w, const struct snapshot_new *n, struct err *e)
{
	if (writer_geom(w)->data_file)
		return err_set(e, ERR_UNSUPPORTED,
			       "an image with an external data file can't have snapshots");
	if (w->img->snapshot_nr >= SNAPSHOTS_MAX)
		return err_set(e, ERR_INVALID, "there are %u snapshots already, and no more may be",
			       SNAPSHOTS_MAX);
	if (strlen(n->name) > UINT16_MAX)
		return err_set(e, ERR_INVALID, "the name has more than %u bytes", UINT16_MAX);
	return 0;
}

/* The table with one more entry, whose L1 table is a copy of the active one. */
static int create_grow(struct image_writer *w, const struct snapshot_new *n, struct err *e)
{
	uint32_t nr = w->img->snapshot_nr;
	struct tree active = active_tree(w);
	struct snapshot_entry *all = calloc(nr + 1, sizeof *all);
	char id[24];
	int ret = -1;

	if (!all)
		return err_nomem(e);
	if (nr)
		memcpy(all, w->img->snapshots, nr * sizeof *all);
	id_choose(w, id, sizeof id);
	all[nr] = (struct snapshot_entry){
		.l1_nr = active.l1_nr,
		.date_sec = n->date_sec,
		.date_nsec = n->date_nsec,
		.disk_size = writer_geom(w)->disk_size,
		.has_disk_size = true,
		.has_icount = true,
		.id = { (const uint8_t *)id, strlen(id) },
		.name = { (const uint8_t *)n->name, strlen(n->name) },
	};
	uint64_t clusters = geom_clusters(writer_geom(w), active.l1_nr * UINT64_C(8));

	if ((!clusters || (txn_take_all(w->txn, clusters, &all[nr].l1_off, e) == 0 &&
			   tree_l1_copy(w->txn, &active, all[nr].l1_off, active.l1_nr, e) == 0)) &&
	    writer_snapshot_table(w, all, nr + 1, e) == 0)
		ret = 0;
	free(all);
	return ret;
}

/* Withdraws what claims there were, durably. */
static int claims_drop(struct image_writer *w, const struct tree *t, const struct tree_seen *seen,
		       const struct watch *watch, struct err *e)
{
	if (!seen->claims)
		return 0;
	return tree_claims(w->txn, t, TREE_CLAIMS_DROP, watch, e) < 0 ||
			       file_flush(w->img->file, e) < 0
		       ? -1
		       : 0;
}

/* Withdraw, grow, point (lib/README, "The five steps"): from here on everything is shared, and
 * nobody claims anything. */
int image_snapshot_create(struct image_writer *w, const struct snapshot_new *n,
			  const struct watch *watch, struct err *e)
{
	struct tree active = active_tree(w);
	struct counts more = { 0 };
	struct tree_seen seen = { 0 };
	int ret = -1;

	if (create_check(w, n, e) == 0 && counts_new(w, &more, e) == 0 &&
	    tree_count(w->txn, &active, 1, &more, &seen, watch, e) == 0 &&
	    txn_counts_check(w->txn, &more, true, e) == 0 &&
	    txn_begin(w->txn, KEPT_UP, e) == 0 && txn_withdraw(w->txn, e) == 0 &&
	    claims_drop(w, &active, &seen, watch, e) == 0 &&
	    txn_counts_apply(w->txn, &more, true, e) == 0 && create_grow(w, n, e) == 0)
		ret = txn_claimed(w->txn, e);
	counts_fini(&more);
	w->l1_idx = UINT64_MAX;
	return ret;
}

static struct tree snapshot_tree(const struct snapshot_entry *s)
{
	return (struct tree){ s->l1_off, s->l1_nr };
}

/* Whether there is an L1 table to go by. Other snapshots are not asked: what they refer to is
 * counted, and stays so. */
static int l1_check(const struct image_writer *w, const struct snapshot_entry *s, struct err *e)
{
	uint64_t end = align_up(file_size(w->img->file), geom_cluster_size(writer_geom(w)));
	struct err why = ERR_INIT;

	if (snapshot_l1_check(s, writer_geom(w)->cluster_bits, &why) < 0)
		return err_set(e, ERR_CORRUPT, "%s; run check first", why.text);
	if (s->l1_nr && s->l1_off + s->l1_nr * UINT64_C(8) > end)
		return err_set(e, ERR_CORRUPT,
			       "snapshot L1 table at %#" PRIx64
			       " reaches past the end of the file; run check first",
			       s->l1_off);
	return 0;
}

/* What the snapshots idx[0..nr-1] refer to, and the table without them. */
static int delete_count(struct image_writer *w, const uint32_t *idx, uint32_t nr,
			struct counts *less, const struct watch *watch, struct err *e)
{
	struct tree_seen seen = { 0 };
	struct tree *trees = calloc(nr + 1, sizeof *trees);
	int ret = trees ? 0 : err_nomem(e);

	for (uint32_t i = 0; ret == 0 && i < nr; i++) {
		const struct snapshot_entry *s = &w->img->snapshots[idx[i]];

		trees[i] = snapshot_tree(s);
		if (l1_check(w, s, e) < 0 ||
		    (trees[i].l1_nr && l1_count(w, &trees[i], less, e) < 0))
			ret = -1;
	}
	if (ret == 0)
		ret = tree_count(w->txn, trees, nr, less, &seen, watch, e);
	free(trees);
	return ret;
}

static int delete_grow(struct image_writer *w, const uint32_t *idx, uint32_t nr, struct err *e)
{
	uint32_t kept = 0, gone = 0;
	struct snapshot_entry *all = calloc(w->img->snapshot_nr, sizeof *all);
	int ret;

	if (!all)
		return err_nomem(e);
	for (uint32_t i = 0; i < w->img->snapshot_nr; i++)
		if (gone < nr && idx[gone] == i)
			gone++;
		else
			all[kept++] = w->img->snapshots[i];
	ret = writer_snapshot_table(w, all, kept, e);
	free(all);
	return ret;
}

/* Releases what `less` says, and claims what the active disk then has for itself. */
static int release_and_claim(struct image_writer *w, const struct counts *less,
			     const struct watch *watch, struct err *e)
{
	struct tree active = active_tree(w);

	if (txn_counts_apply(w->txn, less, false, e) < 0 || txn_finish(w->txn, e) < 0 ||
	    tree_claims(w->txn, &active, TREE_CLAIMS_SET, watch, e) < 0)
		return -1;
	return txn_claimed(w->txn, e);
}

int image_snapshot_delete(struct image_writer *w, const uint32_t *idx, uint32_t nr,
			  const struct watch *watch, struct err *e)
{
	struct counts less = { 0 };
	int ret = -1;

	if (counts_new(w, &less, e) == 0 && delete_count(w, idx, nr, &less, watch, e) == 0 &&
	    txn_counts_check(w->txn, &less, false, e) == 0 &&
	    txn_begin(w->txn, KEPT_UP, e) == 0 && txn_withdraw(w->txn, e) == 0 &&
	    delete_grow(w, idx, nr, e) == 0 && txn_commit(w->txn, e) == 0)
		ret = release_and_claim(w, &less, watch, e);
	counts_fini(&less);
	w->l1_idx = UINT64_MAX;
	return ret;
}

/* The place of the disk's new L1 table: the snapshot's entries, none of them claimed. */
static int apply_grow(struct image_writer *w, const struct snapshot_entry *s, uint64_t size,
		      struct err *e)
{
	struct header *h = &w->img->header;
	struct tree t = snapshot_tree(s);
	uint64_t nr = MAX(geom_l1_entries(writer_geom(w), size), t.l1_nr), host = 0;

	if (nr && (txn_take_all(w->txn, geom_clusters(writer_geom(w), nr * 8), &host, e) < 0 ||
		   tree_l1_copy(w->txn, &t, host, (uint32_t)nr, e) < 0))
		return -1;
	h->l1_table_off = host;
	h->l1_size = (uint32_t)nr;
	h->size = size;
	txn_header(w->txn, HEADER_L1 | HEADER_SIZE);
	return 0;
}

static int apply_check(const struct image_writer *w, const struct snapshot_entry *s,
		       uint64_t *size, struct err *e)
{
	const struct header *h = &w->img->header;

	*size = s->has_disk_size ? s->disk_size : h->size;
	if (h->has_bitmaps_ext && (h->autoclear_features & AUTOCLEAR_BITMAPS))
		return err_set(e, ERR_UNSUPPORTED,
			       "the image has persistent bitmaps, which would not tell of the change; "
			       "remove them first");
	if (writer_geom(w)->data_file)
		return err_set(e, ERR_UNSUPPORTED,
			       "an image with an external data file can't have snapshots");
	if (l1_check(w, s, e) < 0)
		return -1;
	if (*size > FILE_OFFSET_MAX - SECTOR_SIZE ||
	    geom_l1_entries(writer_geom(w), *size) * 8 > L1_BYTES_MAX)
		return err_set(e, ERR_CORRUPT, "the snapshot's disk size, %" PRIu64
			       ", is out of range", *size);
	return 0;
}

/* Raise what only the snapshot's tree maps, switch the L1 table, then lower what only the old tree
 * mapped: what both map has as many owners before as after, and the switch is one write. The flags
 * in the tables of the snapshot mean nothing (5.5), and are cleared before they could. */
static int apply_run(struct image_writer *w, const struct snapshot_entry *s, uint64_t size,
		     const struct counts *more, const struct counts *less,
		     const struct tree_seen *seen, const struct watch *watch, struct err *e)
{
	struct tree t = snapshot_tree(s);

	if (txn_begin(w->txn, KEPT_UP, e) < 0 || txn_withdraw(w->txn, e) < 0 ||
	    claims_drop(w, &t, seen, watch, e) < 0 ||
	    txn_counts_apply(w->txn, more, true, e) < 0 || apply_grow(w, s, size, e) < 0 ||
	    txn_commit(w->txn, e) < 0)
		return -1;
	return release_and_claim(w, less, watch, e);
}

/* All counts of both trees are looked at: what one of them contradicts is no ground to build on. */
static int apply_count(struct image_writer *w, const struct tree *t, struct counts *more,
		       struct counts *less, struct tree_seen *seen, const struct watch *watch,
		       struct err *e)
{
	struct tree old = active_tree(w);

	if (counts_new(w, more, e) < 0 || counts_new(w, less, e) < 0 ||
	    tree_count_both(w->txn, t, more, &old, less, seen, watch, e) < 0 ||
	    (old.l1_nr && l1_count(w, &old, less, e) < 0) ||
	    txn_counts_check(w->txn, less, false, e) < 0 ||
	    txn_counts_check(w->txn, more, false, e) < 0)
		return -1;
	counts_cancel(more, less);
	return txn_counts_check(w->txn, more, true, e);
}

int image_snapshot_apply(struct image_writer *w, uint32_t idx, const struct watch *watch,
			 struct err *e)
{
	const struct snapshot_entry *s = &w->img->snapshots[idx];
	struct counts more = { 0 }, less = { 0 };
	struct tree t = snapshot_tree(s);
	struct tree_seen seen = { 0 };
	uint64_t size;
	int ret = -1;

	if (apply_check(w, s, &size, e) == 0 &&
	    apply_count(w, &t, &more, &less, &seen, watch, e) == 0)
		ret = apply_run(w, s, size, &more, &less, &seen, watch, e);
	counts_fini(&more);
	counts_fini(&less);
	w->l1_idx = UINT64_MAX;
	return ret;
}
