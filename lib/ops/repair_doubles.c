/* Clusters that have more owners than are counted. The same place of the disk in several snapshots
 * is meant to share, and needs no more than its count; other places, and metadata, are not: one of
 * them keeps the cluster, each other gets a copy. Copies are durable before anything leads to
 * them. */
#include "ops/repair_doubles.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"

/* Beyond this, counts are raised and all share: a table full of one pointer must not fill the
 * medium. */
#define COPIES_MIN UINT64_C(256)

static bool is_short_at_all(const struct doubles *d)
{
	const struct check *c = &d->repair->check;

	for (uint64_t page = 0; page < counts_pages(&c->expected); page++) {
		uint64_t first = page << COUNTS_PAGE_BITS, nr = MIN(COUNTS_PAGE, c->clusters - first);

		if (!c->expected.touched[page])
			continue;
		if (!d->all &&
		    memcmp(c->expected.low + first, c->stored.low + first, nr) == 0)
			continue;
		for (uint64_t i = first; i < first + nr; i++)
			if (c->expected.low[i] > 1 && doubles_is_short(d, i))
				return true;
	}
	return false;
}

/* --- L2 tables --- */

static int l1_entry_settle(struct doubles *d, const struct walk_l1_part *p, uint32_t i,
			   uint64_t host, struct err *e)
{
	const struct check *c = &d->repair->check;
	unsigned span = geom_l2_span_bits(c->geom);
	uint64_t idx = (uint64_t)p->first + i, to;
	struct finding f = { .host = host,
			     .place = p->place + i * UINT64_C(8),
			     .idx = idx,
			     .guest = idx << span,
			     .guest_len = UINT64_C(1) << span };
	uint8_t bytes[8];
	bool elsewhere;

	if (doubles_ask(d, check_cluster(c, host), idx, &elsewhere, e) < 0)
		return -1;
	if (!elsewhere)
		return 0;
	if (!places_find(&d->copies, host, idx, &to))
		return d->store ? 0 : doubles_copy(d, host, geom_cluster_size(c->geom), idx, e);
	if (!d->store)
		return 0;
	if (p->owner.kind == WALK_ACTIVE && repair_disk_changes(d->repair, e) < 0)
		return -1;
	finding_set_owner(c, &f, p->owner);
	doubles_told(d, f, to);
	be64_put(bytes, to);
	return repair_write(d->repair, f.place, bytes, sizeof bytes, e);
}

static int on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct doubles *d = arg;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++) {
		uint64_t raw = be64_get(p->bytes + i * UINT64_C(8));

		if (raw && walk_l2_followed(d->repair->check.walk, raw, &host) &&
		    repair_may_edit(d->repair, p->place + i * UINT64_C(8), WALK_L1_TABLE) &&
		    l1_entry_settle(d, p, i, host, e) < 0)
			return -1;
	}
	return 0;
}

/* --- data --- */

/* Compressed data stay, all of them in a cluster together: marked before anyone asks. */
static int on_packed(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct doubles *d = arg;
	const struct check *c = &d->repair->check;
	struct l2_run run;

	for (uint32_t from = 0; l2_run_next(&c->scan, t->bytes, from, &run);
	     from = run.idx + run.nr) {
		struct l2_entry x = l2_entry_at(c->geom, t->bytes, run.idx);
		uint64_t first = check_cluster(c, x.host), keeper;

		if (run.kind != L2_RUN_ODD || !x.packed || !walk_in_file(c->walk, x.host, x.host_len))
			continue;
		for (uint64_t i = first; i <= check_cluster(c, x.host + x.host_len - 1); i++)
			if (i < c->clusters && doubles_is_short(d, i) &&
			    !places_find(&d->owners, i, 0, &keeper) &&
			    places_add(&d->owners, i, 0, PACKED, e) < 0)
				return -1;
	}
	return 0;
}

struct user {
	const struct walk_l2_table *at;
	uint32_t idx;
	uint64_t host, len; /* bytes */
	uint64_t guest;
	bool packed;
};

/* Whether compressed data lie on metadata. */
static bool packed_elsewhere(const struct check *c, const struct user *u)
{
	for (uint64_t i = check_cluster(c, u->host); i <= check_cluster(c, u->host + u->len - 1); i++)
		if (i < c->clusters && doubles_is_taken(c, i))
			return true;
	return false;
}

static int user_settle(struct doubles *d, const struct user *u, struct repair_table *t,
		       struct err *e)
{
	const struct check *c = &d->repair->check;
	uint64_t place = u->guest >> c->geom->cluster_bits, to;
	size_t at = (size_t)u->idx << c->geom->l2_entry_bits;
	bool elsewhere = u->packed && packed_elsewhere(c, u);

	if (!u->packed && doubles_ask(d, check_cluster(c, u->host), place, &elsewhere, e) < 0)
		return -1;
	if (!elsewhere)
		return 0;
	if (!places_find(&d->copies, u->host, place, &to))
		return d->store ? 0 : doubles_copy(d, u->host, u->len, place, e);
	if (!d->store)
		return 0;
	/* It is suspect, and what metadata held may have been written over before the copy was made. */
	if (u->at->active_times && repair_disk_changes(d->repair, e) < 0)
		return -1;
	struct finding f = { .host = u->host,
			     .place = u->at->host + at,
			     .idx = u->idx,
			     .guest = u->guest,
			     .guest_len = geom_cluster_size(c->geom) };
	uint64_t raw = be64_get(u->at->bytes + at);
	uint64_t mask = u->packed ? (UINT64_C(1) << (70u - c->geom->cluster_bits)) - 1
				  : ENTRY_OFFSET_MASK;

	finding_set_owner(c, &f, u->at->owner);
	doubles_told(d, f, to);
	repair_table_put(t, at, (raw & ~mask & ~ENTRY_COPIED) | to);
	return 0;
}

static int on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct doubles *d = arg;
	const struct check *c = &d->repair->check;
	uint64_t size = geom_cluster_size(c->geom);
	uint64_t guest = (uint64_t)t->l1_idx << geom_l2_span_bits(c->geom);
	struct repair_table table = { .host = t->host, .bytes = d->bytes + 2 * size };
	struct l2_run run;

	/* Data that lie on the table have their copies when it is changed. */
	if (check_is_overlapped(c, check_cluster(c, t->host)))
		return 0;
	memcpy(table.bytes, t->bytes, size);
	for (uint32_t from = 0; l2_run_next(&c->scan, t->bytes, from, &run);
	     from = run.idx + run.nr)
		for (uint32_t i = run.idx; i < run.idx + run.nr; i++) {
			struct l2_entry x = l2_entry_at(c->geom, t->bytes, i);
			struct user u = { .at = t,
					  .idx = i,
					  .host = x.host,
					  .len = x.packed ? x.host_len : size,
					  .guest = guest + i * size,
					  .packed = x.packed };

			if (!x.has_host && !x.packed)
				continue;
			if (user_settle(d, &u, &table, e) < 0)
				return -1;
		}
	return repair_table_store(d->repair, &table, e);
}

/* --- the stage --- */

static int walk_with(struct doubles *d, const struct walk_ops *ops, struct err *e)
{
	struct walk *w = check_walk_again(&d->repair->check, ops, d, e);
	int ret = w ? walk_trees(w, e) : -1;

	walk_free(w);
	return ret;
}

/* First copies, then, when they are durable, what leads to them. */
static int settle(struct doubles *d, const struct walk_ops *ops, struct err *e)
{
	d->store = false;
	if (walk_with(d, ops, e) < 0 || repair_flush(d->repair, e) < 0)
		return -1;
	if (!d->copies.nr)
		return 0;
	d->store = true;
	return walk_with(d, ops, e);
}

/* Such data stay where they are; refcounts go elsewhere. */
static void encrypted_told(struct repair *r)
{
	bool stays = false;

	if (r->told_encrypted || !repair_has(r, PROBLEM_CROSS_LINK))
		return;
	for (uint64_t i = 0; i < r->check.clusters && !stays; i++)
		stays = check_is_crossed(&r->check, i) && doubles_is_taken(&r->check, i);
	if (stays)
		repair_say(r, "guest data that lie on metadata are left to a person: the image is encrypted, "
			      "and a copy of them would need the key");
	r->told_encrypted = stays;
}

static int stage(struct doubles *d, struct err *e)
{
	static const struct walk_ops tables = { .l1_part = on_l1_part },
				     packed = { .l2_table = on_packed },
				     data = { .l2_table = on_l2_table };

	d->tables = true;
	if (settle(d, &tables, e) < 0)
		return -1;
	/* What a copied table maps is to be looked at again. The place decides how LUKS reads a
	 * cluster: a copy without the key would be noise. */
	if (d->copies.nr || d->repair->geom.data_file)
		return 0;
	if (d->repair->header.crypt_method == CRYPT_LUKS) {
		encrypted_told(d->repair);
		return 0;
	}
	d->tables = false;
	if (walk_with(d, &packed, e) < 0)
		return -1;
	return settle(d, &data, e);
}

int repair_doubles(struct repair *r, struct err *e)
{
	uint64_t size = geom_cluster_size(&r->geom);
	struct doubles d = { .repair = r, .copies_max = r->check.clusters / 4 + COPIES_MIN };
	int ret = 0;

	d.all = repair_refcounts_lost(r);
	if (!repair_has(r, PROBLEM_CROSS_LINK) && !repair_has(r, PROBLEM_METADATA_OVERLAP) &&
	    !repair_has(r, PROBLEM_L2_TABLE_TWICE) && !is_short_at_all(&d))
		return 0;
	d.bytes = malloc(3 * size + 2 * SECTOR_SIZE);
	if (!d.bytes)
		return err_nomem(e);
	if (!d.all || repair_forget_refcounts(r, e) == 0)
		ret = stage(&d, e);
	else
		ret = -1;
	places_fini(&d.owners);
	places_fini(&d.copies);
	free(d.bytes);
	return ret;
}
