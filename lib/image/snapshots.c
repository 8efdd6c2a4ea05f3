#include "image/snapshots_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"

/* What an entry that we make has at most beside its name, bytes. */
#define ENTRY_ROOM 128

int snapshots_counts_new(const struct image_writer *w, struct counts *c, struct err *e)
{
	return counts_init(c, geom_clusters(writer_geom(w), file_size(w->img->file)), e);
}

/* The counts of what the change is about are known to be right, those of `others` snapshots are not. */
int snapshots_others_check(struct image_writer *w, uint32_t others, const struct watch *watch,
			   struct err *e)
{
	return others ? image_writer_few_check(w, watch, e) : 0;
}

uint64_t snapshots_l1_clusters(const struct image_writer *w, const struct tree *t)
{
	return geom_clusters(writer_geom(w), t->l1_nr * UINT64_C(8));
}

int snapshots_l1_count(const struct image_writer *w, const struct tree *t, struct counts *c,
		       struct err *e)
{
	return counts_add(c, t->l1_off >> writer_geom(w)->cluster_bits,
			  snapshots_l1_clusters(w, t), 1, e);
}

static uint64_t table_len(const struct snapshot_entry *all, uint32_t nr)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < nr; i++)
		len += snapshot_entry_len(&all[i], len);
	return len;
}

static int table_too_large(struct err *e)
{
	return err_set(e, ERR_INVALID, "the snapshot table would be larger than 64 MiB");
}

/* Writes a snapshot table to new clusters; it is in force with the header fields that are
 * set here. The old table's clusters are released. */
int writer_snapshot_table(struct image_writer *w, const struct snapshot_entry *all,
			  uint32_t nr, struct err *e)
{
	struct header *h = &w->img->header;
	uint64_t len = table_len(all, nr), old_len = 0, host = 0, old = h->snapshots_off;
	uint8_t *bytes;
	int ret = 0;

	if (len > SNAPSHOT_TABLE_BYTES_MAX)
		return table_too_large(e);
	bytes = calloc(1, align_up(len, SECTOR_SIZE) + 1);
	if (!bytes)
		return err_nomem(e);
	struct wr out = wr_over(bytes, len);

	for (uint32_t i = 0; i < nr; i++)
		snapshot_entry_encode(&out, &all[i]);
	if (nr)
		ret = txn_take_all(w->txn, geom_clusters(writer_geom(w), len), &host, e) <
					      0 ||
				      file_write_at(w->img->file, host, bytes,
						    align_up(len, SECTOR_SIZE), e) < 0
			      ? -1
			      : 0;
	free(bytes);
	for (uint32_t i = 0; i < w->img->snapshot_nr; i++)
		old_len += snapshot_entry_stored_len(&w->img->snapshots[i], old_len);
	if (ret < 0 ||
	    (w->img->snapshot_nr && old_len && txn_release(w->txn, old, old_len, 1, e) < 0))
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

	for (size_t i = 0; i < id.n && id.p[i] >= '0' && id.p[i] <= '9' && n < UINT32_MAX;
	     i++)
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

static int create_check(const struct image_writer *w, const struct snapshot_new *n,
			struct err *e)
{
	if (writer_geom(w)->data_file)
		return err_set(e, ERR_UNSUPPORTED,
			       "an image with an external data file can't have snapshots");
	if (w->img->snapshot_nr >= SNAPSHOTS_MAX)
		return err_set(e, ERR_INVALID,
			       "there are %u snapshots already, and no more may be",
			       SNAPSHOTS_MAX);
	if (strlen(n->name) > UINT16_MAX)
		return err_set(e, ERR_INVALID, "the name has more than %u bytes",
			       UINT16_MAX);
	if (table_len(w->img->snapshots, w->img->snapshot_nr) + strlen(n->name) +
		    ENTRY_ROOM >
	    SNAPSHOT_TABLE_BYTES_MAX)
		return table_too_large(e);
	return 0;
}

/* The table with one more entry, whose L1 table is a copy of the active one. */
static int create_grow(struct image_writer *w, const struct snapshot_new *n, struct err *e)
{
	uint32_t nr = w->img->snapshot_nr;
	struct tree active = snapshots_active_tree(w);
	struct snapshot_entry *all = calloc(nr + 1, sizeof *all);
	char id[24];
	int ret = -1;

	if (!all)
		return err_nomem(e);
	if (nr)
		memcpy(all, w->img->snapshots, nr * sizeof *all);
	id_choose(w, id, sizeof id);
	all[nr] = (struct snapshot_entry) {
		.l1_nr = active.l1_nr,
		.date_sec = n->date_sec,
		.date_nsec = n->date_nsec,
		.disk_size = writer_geom(w)->disk_size,
		.has_disk_size = true,
		.has_icount = true,
		.id = { (const uint8_t *)id, strlen(id) },
		.name = { (const uint8_t *)n->name, strlen(n->name) },
	};
	uint64_t clusters = snapshots_l1_clusters(w, &active);

	if ((!clusters ||
	     (txn_take_all(w->txn, clusters, &all[nr].l1_off, e) == 0 &&
	      tree_l1_copy(w->txn, &active, all[nr].l1_off, active.l1_nr, e) == 0)) &&
	    writer_snapshot_table(w, all, nr + 1, e) == 0)
		ret = 0;
	free(all);
	return ret;
}

int snapshots_claims_drop(struct image_writer *w, const struct tree *t,
			  const struct tree_seen *seen, const struct watch *watch,
			  struct err *e)
{
	if (!seen->claims)
		return 0;
	return tree_claims(w->txn, t, TREE_CLAIMS_DROP, watch, e) < 0 ||
			       file_flush(w->img->file, e) < 0
		       ? -1
		       : 0;
}

/* Grow, withdraw, count, point (lib/README, "The five steps"): once it has its place,
 * everything is shared, and nobody claims anything. */
static int create_run(struct image_writer *w, const struct snapshot_new *n,
		      const struct counts *more, const struct tree_seen *seen,
		      const struct watch *watch, struct err *e)
{
	struct tree active = snapshots_active_tree(w);
	struct watch to_the_end = watch_to_the_end(watch);

	if (txn_begin(w->txn, SNAPSHOTS_KEEP_UP, e) < 0 || create_grow(w, n, e) < 0 ||
	    txn_settle(w->txn, e) < 0 || txn_withdraw(w->txn, e) < 0 ||
	    snapshots_claims_drop(w, &active, seen, &to_the_end, e) < 0 ||
	    txn_counts_apply(w->txn, more, true, e) < 0)
		return -1;
	return txn_claimed(w->txn, e);
}

int image_snapshot_create(struct image_writer *w, const struct snapshot_new *n,
			  const struct watch *watch, struct err *e)
{
	struct tree active = snapshots_active_tree(w);
	struct counts more = { 0 };
	struct tree_counts counted = { .of = &more };
	struct tree_seen seen = { 0 };
	int ret = -1;

	if (create_check(w, n, e) == 0 && snapshots_counts_new(w, &more, e) == 0 &&
	    tree_count(w->txn, &active, 1, NULL, &counted, &seen, watch, e) == 0 &&
	    txn_counts_check(w->txn, &more, true, e) == 0 &&
	    snapshots_others_check(w, w->img->snapshot_nr, watch, e) == 0)
		ret = create_run(w, n, &more, &seen, watch, e);
	counts_fini(&more);
	w->l1_idx = UINT64_MAX;
	return ret;
}

int snapshots_l1_check(const struct image_writer *w, const struct snapshot_entry *s,
		       struct err *e)
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

/* What the snapshots idx[0..nr-1] refer to. The active disk's references are looked at,
 * too: counts that do not cover both would let go of what it has. */
static int delete_count(struct image_writer *w, const uint32_t *idx, uint32_t nr,
			const struct tree_counts *c, const struct watch *watch,
			struct err *e)
{
	struct tree_seen seen = { 0 };
	struct tree active = snapshots_active_tree(w);
	struct tree *trees = calloc(nr + 1, sizeof *trees);
	int ret = trees ? 0 : err_nomem(e);

	for (uint32_t i = 0; ret == 0 && i < nr; i++) {
		const struct snapshot_entry *s = &w->img->snapshots[idx[i]];

		trees[i] = snapshots_tree(s);
		if (snapshots_l1_check(w, s, e) < 0 ||
		    (trees[i].l1_nr && (snapshots_l1_count(w, &trees[i], c->of, e) < 0 ||
					snapshots_l1_count(w, &trees[i], c->all, e) < 0)))
			ret = -1;
	}
	if (ret == 0)
		ret = tree_count(w->txn, trees, nr, &active, c, &seen, watch, e);
	free(trees);
	return ret;
}

static int delete_grow(struct image_writer *w, const uint32_t *idx, uint32_t nr,
		       struct err *e)
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

int snapshots_release_and_claim(struct image_writer *w, const struct counts *less,
				const struct watch *watch, struct err *e)
{
	struct tree active = snapshots_active_tree(w);

	if (txn_counts_apply(w->txn, less, false, e) < 0 || txn_finish(w->txn, e) < 0 ||
	    tree_claims(w->txn, &active, TREE_CLAIMS_SET, watch, e) < 0)
		return -1;
	return txn_claimed(w->txn, e);
}

static int delete_run(struct image_writer *w, const uint32_t *idx, uint32_t nr,
		      const struct counts *less, const struct watch *watch, struct err *e)
{
	struct watch to_the_end = watch_to_the_end(watch);

	if (txn_begin(w->txn, SNAPSHOTS_KEEP_UP, e) < 0 || delete_grow(w, idx, nr, e) < 0 ||
	    txn_settle(w->txn, e) < 0 || txn_withdraw(w->txn, e) < 0 ||
	    txn_commit(w->txn, e) < 0)
		return -1;
	return snapshots_release_and_claim(w, less, &to_the_end, e);
}

/* L1 tables become free in any case. */
static int delete_check(struct image_writer *w, const uint32_t *idx, uint32_t nr,
			const struct counts *less, bool *sure, const struct watch *watch,
			struct err *e)
{
	uint64_t own = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct tree t = snapshots_tree(&w->img->snapshots[idx[i]]);

		own += snapshots_l1_clusters(w, &t);
	}
	return txn_freed_check(w->txn, less, own, sure, watch, e);
}

int image_snapshot_delete(struct image_writer *w, const uint32_t *idx, uint32_t nr,
			  const struct watch *watch, struct err *e)
{
	struct counts less = { 0 }, all = { 0 };
	struct tree_counts counted = { .of = &less, .all = &all };
	bool possible = snapshots_counts_new(w, &less, e) == 0 &&
			snapshots_counts_new(w, &all, e) == 0 &&
			delete_count(w, idx, nr, &counted, watch, e) == 0 &&
			txn_counts_check(w->txn, &all, false, e) == 0;
	bool sure = false;
	int ret = -1;

	counts_fini(&all);
	if (possible && delete_check(w, idx, nr, &less, &sure, watch, e) == 0 &&
	    snapshots_others_check(w, w->img->snapshot_nr - nr, watch, e) == 0)
		ret = delete_run(w, idx, nr, &less, watch, e);
	if (ret == 0 && sure)
		txn_freed_punch(w->txn, &less);
	counts_fini(&less);
	w->l1_idx = UINT64_MAX;
	return ret;
}
