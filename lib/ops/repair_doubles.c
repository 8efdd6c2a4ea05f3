/* Clusters that have more owners than are counted. The same place of the disk in several snapshots
 * is meant to share, and needs no more than its count; other places, and metadata, are not: one of
 * them keeps the cluster, each other gets a copy. Copies are durable before anything leads to
 * them. */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "ops/repair_places.h"

/* Beyond this, counts are raised and all share: a table full of one pointer must not fill the
 * medium. */
#define COPIES_MIN UINT64_C(256)

struct doubles {
	struct repair *repair;
	struct places owners; /* host cluster -> place of the disk that keeps it, + 1 */
	struct places copies; /* of (host cluster or byte, place) -> host offset of the copy */
	uint64_t copies_max;
	bool tables; /* this walk is about L2 tables, else about data */
	bool all;    /* no count is to be trusted */
	bool store;  /* copies are there: entries are switched */
	uint8_t *bytes; /* two clusters */
};

#define PACKED UINT64_MAX /* compressed data keep their clusters */

/* Whether more owners were found than the file counts, or is known to count. */
static bool is_short(const struct doubles *d, uint64_t cluster)
{
	const struct check *c = &d->repair->check;
	uint64_t expected = counts_get(&c->expected, cluster);

	return expected > 1 &&
	       (d->all || check_count_unknown(c, cluster) ||
		c->stored.low[cluster] < MIN(expected, COUNTS_BIG) ||
		(d->tables && repair_has(d->repair, PROBLEM_L2_TABLE_TWICE)));
}

/* Metadata that stays where it is; refcounts are built anew elsewhere. */
static bool is_taken(const struct check *c, uint64_t cluster)
{
	return bit_at(c->metadata, cluster) && !bit_at(c->refcounts, cluster);
}

/* Whether who asks for a cluster has no right to it: data on metadata, or an L2 table where another
 * structure is. */
static bool is_others(struct doubles *d, uint64_t cluster)
{
	struct check *c = &d->repair->check;

	if (!is_taken(c, cluster))
		return false;
	return !d->tables || check_claimed_by(c, cluster) != WALK_L2_TABLE;
}

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
			if (c->expected.low[i] > 1 && is_short(d, i))
				return true;
	}
	return false;
}

/* --- who keeps what --- */

/* Place `place` of the disk asks for a cluster: whether it has to go elsewhere. */
static int place_ask(struct doubles *d, uint64_t cluster, uint64_t place, bool *elsewhere,
		     struct err *e)
{
	struct check *c = &d->repair->check;
	uint64_t keeper = 0;

	*elsewhere = cluster < c->clusters && is_others(d, cluster);
	if (*elsewhere || cluster >= c->clusters || !is_short(d, cluster))
		return 0;
	if (places_find(&d->owners, cluster, 0, &keeper)) {
		*elsewhere = keeper != place + 1;
		return 0;
	}
	return places_add(&d->owners, cluster, 0, place + 1, e);
}

static int copy_make(struct doubles *d, uint64_t host, uint64_t len, uint64_t place, struct err *e)
{
	struct repair *r = d->repair;
	uint64_t size = geom_cluster_size(&r->geom), first = align_down(host, SECTOR_SIZE);
	uint64_t in_sector = host - first, to;
	size_t n = (size_t)align_up(in_sector + len, size);

	if (d->copies.nr >= d->copies_max) {
		if (!d->repair->told_many)
			repair_say(r, "too many places share clusters for each to get a copy: the rest "
				      "go on sharing, and counts say so");
		d->repair->told_many = true;
		return 0;
	}
	memset(d->bytes, 0, n);
	if (repair_take(r, n >> r->geom.cluster_bits, &to, e) < 0 ||
	    file_read_padded(r->file, first, d->bytes, (size_t)(in_sector + len), NULL, e) < 0 ||
	    repair_write(r, to, d->bytes, n, e) < 0)
		return -1;
	return places_add(&d->copies, host, place, to + in_sector, e);
}

static void copy_told(struct doubles *d, struct finding f, uint64_t to)
{
	struct repair *r = d->repair;
	struct check *c = &r->check;
	uint64_t cluster = check_cluster(c, f.host), keeper = 0;
	char text[200];
	int n;

	f.has_host = f.has_place = f.has_counts = true;
	f.cluster = cluster;
	f.refcount = check_stored(c, cluster);
	f.references = counts_get(&c->expected, cluster);
	f.kind = is_others(d, cluster) ? d->tables ? PROBLEM_METADATA_OVERLAP : PROBLEM_CROSS_LINK
		 : d->tables	       ? PROBLEM_L2_TABLE_TWICE
				       : PROBLEM_REFCOUNT_TOO_LOW;
	n = snprintf(text, sizeof text,
		     "guest 0x%" PRIx64 "+0x%" PRIx64 " gets a copy at 0x%" PRIx64 "; it is suspect, and so is ",
		     f.guest, f.guest_len, to);
	if (is_others(d, cluster))
		snprintf(text + n, sizeof text - (size_t)n, "the %s",
			 check_what_text(check_claimed_by(c, cluster)));
	else if (!places_find(&d->owners, cluster, 0, &keeper) || keeper == PACKED)
		snprintf(text + n, sizeof text - (size_t)n, "compressed data");
	else
		snprintf(text + n, sizeof text - (size_t)n, "guest 0x%" PRIx64,
			 (keeper - 1) << (d->tables ? geom_l2_span_bits(c->geom)
						    : c->geom->cluster_bits));
	f.text = text;
	repair_fixed(r, &f, NULL);
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

	if (place_ask(d, check_cluster(c, host), idx, &elsewhere, e) < 0)
		return -1;
	if (!elsewhere)
		return 0;
	if (!places_find(&d->copies, host, idx, &to))
		return d->store ? 0 : copy_make(d, host, geom_cluster_size(c->geom), idx, e);
	if (!d->store)
		return 0;
	if (p->owner.kind == WALK_ACTIVE && repair_disk_changes(d->repair, e) < 0)
		return -1;
	finding_set_owner(c, &f, p->owner);
	copy_told(d, f, to);
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
			if (i < c->clusters && is_short(d, i) &&
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
		if (i < c->clusters && is_taken(c, i))
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

	if (!u->packed && place_ask(d, check_cluster(c, u->host), place, &elsewhere, e) < 0)
		return -1;
	if (!elsewhere)
		return 0;
	if (!places_find(&d->copies, u->host, place, &to))
		return d->store ? 0 : copy_make(d, u->host, u->len, place, e);
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
	copy_told(d, f, to);
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
		stays = check_is_crossed(&r->check, i) && is_taken(&r->check, i);
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
