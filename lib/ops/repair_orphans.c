/* Lost L2 tables go back to where they belong.
 *
 * Only clusters that are counted once more than anybody refers to them go back with a table, so that no
 * count has to rise and no claim of another owner becomes false. The table's own claims are made true
 * while nothing leads to it; that is durable before the L1 entry is written. A crash in between leaves
 * the table lost, as it was. */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "format/l1_entry.h"

/* A table to be put back. */
struct back {
	struct repair *repair;
	uint32_t l1_idx;
	struct repair_table table; /* its host offset and bytes */
	uint64_t leaked;	   /* clusters that nobody else had */
};

/* One more reference to the clusters of host .. host+len-1, all of which must be counted for it. */
static int refer(struct back *b, uint64_t host, uint64_t len, struct err *e)
{
	struct check *c = &b->repair->check;
	uint64_t first = check_cluster(c, host), last = check_cluster(c, host + len - 1);

	for (uint64_t i = first; i <= last; i++)
		if (i >= c->clusters || check_count_unknown(c, i) ||
		    check_stored(c, i) <= counts_get(&c->expected, i))
			return err_set(e, ERR_INVALID,
				       "cluster %" PRIu64 " at %#" PRIx64
				       " is counted for other owners alone",
				       i, i << c->geom->cluster_bits);
	b->leaked += last - first + 1;
	return counts_add(&c->expected, first, last - first + 1, 1, e);
}

/* What the first nr entries of the table refer to. *done: how many could be counted. */
static int entries_refer(struct back *b, uint32_t *done, struct err *e)
{
	const struct geom *g = &b->repair->geom;

	for (*done = 0; !g->data_file && *done < geom_l2_entries(g); ++*done) {
		struct l2_entry x = l2_entry_at(g, b->table.bytes, *done);

		if (x.packed ? refer(b, x.host, x.host_len, e) < 0
			     : x.has_host && refer(b, x.host, geom_cluster_size(g), e) < 0)
			return -1;
	}
	return 0;
}

/* All or nothing. */
static int table_refers(struct back *b, struct err *e)
{
	const struct geom *g = &b->repair->geom;
	struct counts *expected = &b->repair->check.expected;
	uint64_t cluster = b->table.host >> g->cluster_bits;
	uint32_t done;

	if (refer(b, b->table.host, geom_cluster_size(g), e) < 0)
		return -1;
	if (entries_refer(b, &done, e) == 0)
		return 0;
	while (done--) {
		struct l2_entry x = l2_entry_at(g, b->table.bytes, done);
		uint64_t first = x.host >> g->cluster_bits;
		uint64_t last = (x.host + (x.packed ? x.host_len - 1 : 0)) >> g->cluster_bits;

		if (x.packed || x.has_host)
			counts_take(expected, first, last - first + 1, 1);
	}
	counts_take(expected, cluster, 1, 1);
	return -1;
}

/* Claims as the counts will be: false ones would let a writer harm another owner. */
static int claims_settle(struct back *b, struct err *e)
{
	struct repair *r = b->repair;
	const struct geom *g = &r->geom;

	for (uint32_t i = 0; !g->data_file && i < geom_l2_entries(g); i++) {
		struct l2_entry x = l2_entry_at(g, b->table.bytes, i);
		bool alone = !x.packed && x.has_host &&
			     check_stored(&r->check, check_cluster(&r->check, x.host)) == 1;

		repair_table_put(&b->table, (size_t)i << g->l2_entry_bits,
				 (x.raw & ~ENTRY_COPIED) | (alone ? ENTRY_COPIED : 0));
	}
	return repair_table_store(r, &b->table, e);
}

static int entry_point(struct back *b, struct err *e)
{
	struct repair *r = b->repair;
	uint64_t place = r->header.l1_table_off + b->l1_idx * UINT64_C(8);
	bool alone = check_stored(&r->check, check_cluster(&r->check, b->table.host)) == 1;
	uint8_t raw[8];

	be64_put(raw, b->table.host | (alone ? ENTRY_COPIED : 0));
	if (repair_disk_changes(r, e) < 0 || repair_write(r, place, raw, sizeof raw, e) < 0)
		return -1;
	return repair_flush(r, e);
}

/* The active L1 entry as it stands. */
static int slot_read(struct repair *r, uint32_t idx, uint64_t *raw, struct err *e)
{
	uint64_t place = r->header.l1_table_off + idx * UINT64_C(8);
	uint8_t bytes[8];

	if (idx >= r->header.l1_size)
		return err_set(e, ERR_INVALID, "there is no L1 entry %" PRIu32, idx);
	if (!repair_may_edit(r, place, WALK_L1_TABLE))
		return err_set(e, ERR_INVALID, "L1 entry %" PRIu32 " lies on another structure",
			       idx);
	if (file_read_padded(r->file, place, bytes, sizeof bytes, NULL, e) < 0)
		return -1;
	*raw = be64_get(bytes);
	return 0;
}

/* What was wrong with the entry as it stands, if anything. */
static void entry_fixed(struct repair *r, uint64_t raw)
{
	uint64_t off = l1_entry_decode(raw).l2_off;

	if (raw & L1_RESERVED_MASK)
		repair_fixed_many(r, PROBLEM_L1_ENTRY_RESERVED, 1);
	if (repair_has(r, PROBLEM_L2_TABLE_TWICE) && walk_l2_followed(r->check.walk, raw, &off) &&
	    orphan_table_is_crowded(&r->check, off))
		repair_fixed_many(r, PROBLEM_L2_TABLE_TWICE, 1);
	if (off && geom_in_cluster(&r->geom, off))
		repair_fixed_many(r, PROBLEM_L1_ENTRY_UNALIGNED, 1);
	else if (off && !walk_in_file(r->check.walk, off, geom_cluster_size(&r->geom)))
		repair_fixed_many(r, PROBLEM_L1_ENTRY_OUT_OF_FILE, 1);
}

static int table_put_back(struct back *b, struct err *e)
{
	struct repair *r = b->repair;
	unsigned span = geom_l2_span_bits(&r->geom);
	uint64_t raw = 0;

	if (slot_read(r, b->l1_idx, &raw, e) < 0)
		return -1;
	if (table_refers(b, e) < 0 || claims_settle(b, e) < 0 || repair_flush(r, e) < 0 ||
	    entry_point(b, e) < 0)
		return err_ctx(e, "L2 table at %#" PRIx64, b->table.host);
	repair_fixed_many(r, PROBLEM_LEAKED_CLUSTER, b->leaked);
	entry_fixed(r, raw);
	repair_say(r,
		   "Putting L2 table at 0x%" PRIx64 " back as L1 entry %" PRIu32
		   " (guest 0x%" PRIx64 "+0x%" PRIx64 ")",
		   b->table.host, b->l1_idx, (uint64_t)b->l1_idx << span, UINT64_C(1) << span);
	return 0;
}

static int back_load(struct back *b, struct repair *r, uint64_t host, uint32_t l1_idx,
		     struct err *e)
{
	size_t size = geom_cluster_size(&r->geom);

	*b = (struct back){ .repair = r, .l1_idx = l1_idx, .table = { .host = host } };
	b->table.bytes = malloc(size);
	if (!b->table.bytes)
		return err_nomem(e);
	return file_read_padded(r->file, host, b->table.bytes, size, NULL, e);
}

/* --- those that are sure --- */

/* One whose clusters another one has taken meanwhile stays. */
static int orphan_put_back(struct repair *r, const struct orphan *o, struct err *e)
{
	struct err why = ERR_INIT;
	struct back b = { 0 };
	int ret = back_load(&b, r, o->host, o->l1_idx, &why);

	if (ret == 0)
		ret = table_put_back(&b, &why);
	free(b.table.bytes);
	if (ret == 0 || why.code == ERR_INVALID) {
		if (ret < 0)
			repair_say(r, "%s: it stays where it is", why.text);
		return 0;
	}
	*e = why;
	return -1;
}

static int sure_put_back(struct repair *r, struct err *e)
{
	for (size_t i = 0; i < r->orphans.nr; i++)
		if (r->orphans.list[i].confidence >= ORPHAN_CONFIDENCE &&
		    orphan_put_back(r, &r->orphans.list[i], e) < 0)
			return -1;
	return 0;
}

/* --- one by hand --- */

static bool is_zeroed(const struct repair *r, uint32_t idx)
{
	for (size_t i = 0; i < r->orphans.zeroed_nr; i++)
		if (r->orphans.zeroed[i].l1_idx == idx)
			return true;
	return false;
}

/* How many entries of the disk lead to this table. */
struct leading {
	struct repair *repair;
	uint64_t host, nr;
};

static int on_leading_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct leading *l = arg;
	uint64_t host;

	(void)e;
	for (uint32_t i = 0; p->owner.kind == WALK_ACTIVE && i < p->nr; i++)
		l->nr += walk_l2_followed(l->repair->check.walk, be64_get(p->bytes + 8 * i), &host) &&
			 host == l->host;
	return 0;
}

/* Whether the table is another entry's as well, and not counted for both. */
static int double_check(struct repair *r, uint64_t host, bool *doubled, struct err *e)
{
	static const struct walk_ops ops = { .l1_part = on_leading_part };
	struct leading l = { .repair = r, .host = host };
	struct walk *w;
	int ret = 0;

	if (orphan_table_is_crowded(&r->check, host)) {
		w = check_walk_again(&r->check, &ops, &l, e);
		ret = w ? walk_l1_tables(w, e) : -1;
		walk_free(w);
	}
	*doubled = l.nr > 1;
	return ret;
}

static int slot_check(struct repair *r, uint32_t idx, struct err *e)
{
	uint64_t raw = 0, host;
	bool doubled;

	if (slot_read(r, idx, &raw, e) < 0)
		return -1;
	if (!walk_l2_followed(r->check.walk, raw, &host) ||
	    check_found_foreign(&r->check, host) || is_zeroed(r, idx) ||
	    !orphan_slot_is_sound(&r->check, host))
		return 0;
	if (double_check(r, host, &doubled, e) < 0)
		return -1;
	if (!doubled)
		return err_set(e, ERR_INVALID,
			       "L1 entry %" PRIu32 " leads to an L2 table already, at %#" PRIx64,
			       idx, host);
	return 0;
}

static int table_check(struct back *b, struct err *e)
{
	struct check *c = &b->repair->check;
	bool used = false;

	for (uint32_t i = 0; i < geom_l2_entries(c->geom); i++) {
		struct l2_entry x = l2_entry_at(c->geom, b->table.bytes, i);

		used |= x.packed || x.has_host;
		if (orphan_word_judge(c, &x) == ORPHAN_WORD_BAD)
			return err_set(e, ERR_INVALID,
				       "what is at %#" PRIx64 " is no L2 table: entry %" PRIu32
				       " is %#" PRIx64,
				       b->table.host, i, x.raw);
	}
	return used ? 0
		    : err_set(e, ERR_INVALID, "what is at %#" PRIx64 " maps nothing",
			      b->table.host);
}

static int place_check(struct repair *r, uint64_t host, struct err *e)
{
	struct check *c = &r->check;
	uint64_t cluster = check_cluster(c, host);

	if (!host || geom_in_cluster(c->geom, host) || cluster >= c->clusters)
		return err_set(e, ERR_INVALID, "%#" PRIx64 " is not the offset of a cluster", host);
	if (bit_at(c->metadata, cluster) && check_claimed_by(c, cluster) != WALK_L2_TABLE)
		return err_set(e, ERR_INVALID, "what is at %#" PRIx64 " is no L2 table: it is the %s",
			       host, check_what_text(check_claimed_by(c, cluster)));
	return 0;
}

static int hand_load(struct repair *r, const struct repair_attach *a, struct back *b,
		     struct err *e)
{
	if (slot_check(r, a->l1_idx, e) < 0 || place_check(r, a->host, e) < 0 ||
	    back_load(b, r, a->host, a->l1_idx, e) < 0)
		return -1;
	return table_check(b, e);
}

/* All of them are looked at before the first is put back. */
static int hand_put_back(struct repair *r, struct err *e)
{
	const struct repair_options *o = r->options;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < 2 * o->attach_nr; i++) {
		struct back b = { 0 };

		ret = hand_load(r, &o->attach[i % o->attach_nr], &b, e);
		if (ret == 0 && i >= o->attach_nr)
			ret = table_put_back(&b, e);
		free(b.table.bytes);
	}
	return ret;
}

/* --- guesses --- */

/* The table is in use and counted, and so are the clusters: entries are all that lacks. */
static int zeroed_fill(struct repair *r, const struct zeroed_table *z, uint64_t *leak,
		       struct err *e)
{
	const struct geom *g = &r->geom;
	struct back b = { 0 };
	uint32_t idx = 0;
	int ret = back_load(&b, r, z->host, z->l1_idx, e);

	for (; ret == 0 && idx < z->clusters; idx++) {
		size_t at = (size_t)idx << g->l2_entry_bits;

		*leak = orphans_next_loose(&r->orphans, *leak);
		if (*leak >= r->check.clusters)
			break;
		bool alone = check_stored(&r->check, *leak) == 1;

		repair_table_put(&b.table, at,
				 *leak << g->cluster_bits | (alone ? ENTRY_COPIED : 0));
		if (g->subclusters)
			repair_table_put(&b.table, at + 8, L2_ALL_ALLOCATED);
		ret = refer(&b, *leak << g->cluster_bits, 1, e);
		++*leak;
	}
	if (ret == 0)
		ret = repair_disk_changes(r, e);
	if (ret == 0)
		ret = repair_table_store(r, &b.table, e);
	if (ret == 0) {
		repair_fixed_many(r, PROBLEM_LEAKED_CLUSTER, b.leaked);
		repair_say(r,
			   "Guessing that L1 entry %" PRIu32 " mapped %" PRIu32
			   " leaked clusters in the order of the file",
			   z->l1_idx, idx);
	}
	free(b.table.bytes);
	return ret;
}

static int zeroed_guess(struct repair *r, struct err *e)
{
	uint64_t leak = 0;

	for (size_t i = 0; i < r->orphans.zeroed_nr; i++) {
		const struct zeroed_table *z = &r->orphans.zeroed[i];

		/* One that a snapshot shares would change it. */
		if (z->clusters && repair_may_edit(r, z->host, WALK_L2_TABLE) &&
		    check_stored(&r->check, check_cluster(&r->check, z->host)) == 1 &&
		    zeroed_fill(r, z, &leak, e) < 0)
			return -1;
	}
	return 0;
}

/* What stands in a broken entry tells where a table belongs, and is gone after other repairs. */
static void places_warn(struct repair *r)
{
	size_t nr = 0;

	for (size_t i = 0; !r->told_places && i < r->orphans.nr; i++)
		nr += r->orphans.list[i].place_score && r->orphans.list[i].slot_broken &&
		      (r->options->reattach == REATTACH_NONE ||
		       r->orphans.list[i].confidence < ORPHAN_CONFIDENCE);
	if (nr)
		repair_say(r,
			   "%zu lost L2 tables are offered for L1 entries that this repair changes: "
			   "afterwards less tells where they belong; --reattach and --attach come "
			   "first", nr);
	r->told_places = true;
}

/* Whether something is to be put back in this round. */
static bool any_wanted(const struct repair *r)
{
	if (!r->attached && r->options->attach_nr)
		return true;
	return r->options->reattach != REATTACH_NONE && (r->orphans.nr || r->orphans.zeroed_nr);
}

int repair_orphans(struct repair *r, struct err *e)
{
	uint64_t before = r->writes;

	if (!r->options->attach_nr)
		places_warn(r);
	if (!any_wanted(r) || repair_refcounts_lost(r) || r->check.unreferenced)
		return 0; /* counts that say nothing come first */
	/* False claims to what goes back would let a writer harm it. */
	if (repair_has(r, PROBLEM_COPIED_DATA) &&
	    (repair_copied(r, e) < 0 || repair_flush(r, e) < 0))
		return -1;
	if (r->writes != before)
		return 0;
	if (!r->attached && hand_put_back(r, e) < 0)
		return -1;
	r->attached = true;
	if (r->writes != before || r->options->reattach == REATTACH_NONE)
		return 0;
	if (sure_put_back(r, e) < 0)
		return -1;
	/* What the tables that are back explain is not there for guesses. */
	if (r->writes == before && r->options->reattach == REATTACH_GUESS)
		return zeroed_guess(r, e);
	return 0;
}
