/* Entries of L1 and L2 tables that are wrong by themselves. What can be told from a damaged entry is
 * kept; only what leads nowhere is given up. */
#include "ops/repair_entries.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/vec.h"
#include "ops/repair_places.h"

static const enum problem_kind l1_kinds[] = {
	PROBLEM_L1_ENTRY_RESERVED,    PROBLEM_L1_ENTRY_UNALIGNED, PROBLEM_L1_ENTRY_OUT_OF_FILE,
	PROBLEM_COPIED_NO_L2_TABLE,   PROBLEM_L2_TABLE_FOREIGN,	  PROBLEM_METADATA_OVERLAP,
};
static const enum problem_kind l2_kinds[] = {
	PROBLEM_COPIED_COMPRESSED,	 PROBLEM_COPIED_UNALLOCATED,
	PROBLEM_L2_ENTRY_RESERVED,	 PROBLEM_L2_ENTRY_ZERO_V2,
	PROBLEM_L2_ENTRY_UNALIGNED,	 PROBLEM_L2_ENTRY_UNALIGNED_ZERO,
	PROBLEM_L2_ENTRY_OUT_OF_FILE,	 PROBLEM_COMPRESSED_OFFSET,
	PROBLEM_COMPRESSED_OUT_OF_FILE,	 PROBLEM_COMPRESSED_DATA_FILE,
	PROBLEM_COMPRESSED_BITMAP,	 PROBLEM_SUBCLUSTER_BOTH,
	PROBLEM_SUBCLUSTER_NO_CLUSTER,	 PROBLEM_DATA_FILE_OFFSET,
};

static bool any_of(const struct repair *r, const enum problem_kind *kinds, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (repair_has(r, kinds[i]))
			return true;
	return false;
}

/* --- L1 --- */

struct tables {
	struct repair *repair;
	uint8_t *bytes;	      /* a cluster */
	struct places wanted;  /* foreign tables that can be replaced */
	struct places instead; /* empty tables for them */
	bool wait;	      /* foreign ones are for the next round */
};

bool repair_is_orphan(struct repair *r, uint64_t host, uint64_t own)
{
	struct check *c = &r->check;
	uint64_t cluster = check_cluster(c, host);

	return cluster > 0 && cluster < c->clusters && !bit_at(c->metadata, cluster) &&
	       counts_get(&c->expected, cluster) == own &&
	       (check_count_unknown(c, cluster) || c->stored.low[cluster]);
}

/* An L2 table that snapshots share is counted once more than there are references. */
static bool is_counted_table(struct repair *r, uint64_t host)
{
	struct check *c = &r->check;
	uint64_t cluster = check_cluster(c, host);

	return cluster < c->clusters && bit_at(c->metadata, cluster) &&
	       check_claimed_by(c, cluster) == WALK_L2_TABLE && !check_is_crossed(c, cluster) &&
	       !check_count_unknown(c, cluster) &&
	       check_stored(c, cluster) == counts_get(&c->expected, cluster) + 1;
}

/* An unaligned pointer whose upper bits lead to a sound L2 table that nobody else has, or that is
 * shared with whoever leads there. */
static bool is_lost_table(struct tables *s, uint64_t host)
{
	struct repair *r = s->repair;
	uint64_t size = geom_cluster_size(&r->geom);
	struct err ignored = ERR_INIT;
	uint32_t used = 0;

	if (!repair_is_orphan(r, host, 0) && !is_counted_table(r, host))
		return false;
	if (file_read_padded(r->file, host, s->bytes, size, NULL, &ignored) < 0) {
		r->found.unread = true;
		return false;
	}
	for (uint32_t i = 0; i < geom_l2_entries(&r->geom); i++) {
		struct l2_entry x = l2_entry_at(&r->geom, s->bytes, i);

		if (!x.raw)
			continue;
		if (l2_entry_unreadable(&r->geom, &x) ||
		    (!x.packed && (x.raw & L2_RESERVED_MASK)) ||
		    (!r->geom.data_file && check_cluster(&r->check, x.host) >= r->check.clusters))
			return false;
		used++;
	}
	return used > 0;
}

static void l1_told(struct tables *s, const struct walk_l1_part *p, uint32_t i,
		    enum problem_kind kind, const char *how)
{
	const struct geom *g = &s->repair->geom;
	uint64_t idx = (uint64_t)p->first + i, raw = be64_get(p->bytes + i * UINT64_C(8));
	struct finding f = { .kind = kind,
			     .host = raw & ENTRY_OFFSET_MASK,
			     .has_host = raw & ENTRY_OFFSET_MASK,
			     .place = p->place + i * UINT64_C(8),
			     .has_place = true,
			     .value = raw,
			     .has_value = true,
			     .idx = idx,
			     .guest = idx << geom_l2_span_bits(g),
			     .guest_len = UINT64_C(1) << geom_l2_span_bits(g) };

	finding_set_owner(&s->repair->check, &f, p->owner);
	repair_fixed(s->repair, &f, how);
}

/* What is read where an entry is given up. */
static const char *l1_dropped(const struct repair *r)
{
	return r->header.backing_name.n
		       ? "the entry is dropped: what the backing file has is read there"
		       : "the entry is dropped: zeros are read there";
}

static const char *l1_emptied(const struct repair *r)
{
	return r->header.backing_name.n
		       ? "an empty table takes its place: what the backing file has is read there"
		       : "an empty table takes its place: zeros are read there";
}

/* What becomes of an entry. */
static uint64_t l1_repaired(struct tables *s, const struct walk_l1_part *p, uint32_t i)
{
	const struct check *c = &s->repair->check;
	uint64_t raw = be64_get(p->bytes + i * UINT64_C(8)), host = raw & ENTRY_OFFSET_MASK;
	uint64_t aligned = align_down(host, geom_cluster_size(c->geom));

	if (raw & L1_RESERVED_MASK) {
		l1_told(s, p, i, PROBLEM_L1_ENTRY_RESERVED, NULL);
		raw &= ~L1_RESERVED_MASK;
	}
	if (host && geom_in_cluster(c->geom, host)) {
		bool found = is_lost_table(s, aligned);

		if (s->repair->found.unread)
			return raw;
		l1_told(s, p, i, PROBLEM_L1_ENTRY_UNALIGNED,
			found ? "the low bits are cleared" : l1_dropped(s->repair));
		return found ? aligned | (raw & ENTRY_COPIED) : 0;
	}
	if (host && walk_is_root(c->walk, host)) {
		l1_told(s, p, i, PROBLEM_METADATA_OVERLAP, "the entry is dropped");
		return 0;
	}
	if (host && check_cluster(c, host) >= c->clusters) {
		l1_told(s, p, i, PROBLEM_L1_ENTRY_OUT_OF_FILE, l1_dropped(s->repair));
		return 0;
	}
	if (host && check_found_foreign(c, host) && !s->wait) {
		uint64_t empty = 0;

		places_find(&s->instead, host, 0, &empty);
		l1_told(s, p, i, PROBLEM_L2_TABLE_FOREIGN, l1_emptied(s->repair));
		return empty;
	}
	if (!host && (raw & ENTRY_COPIED)) {
		l1_told(s, p, i, PROBLEM_COPIED_NO_L2_TABLE, NULL);
		return 0;
	}
	return raw;
}

/* A raw data file has each cluster where the guest has it (10): what led there is known. */
static bool is_raw_outside(const struct repair *r)
{
	return r->geom.data_file && (r->header.autoclear_features & AUTOCLEAR_DATA_FILE_RAW);
}

/* The L2 table of a raw data file made again; *entry: the L1 entry that leads to it. */
static int raw_table_make(struct tables *s, const struct walk_l1_part *p, uint32_t i,
			  uint64_t *entry, struct err *e)
{
	struct repair *r = s->repair;
	const struct geom *g = &r->geom;
	uint64_t size = geom_cluster_size(g), host;
	uint64_t guest = ((uint64_t)p->first + i) << geom_l2_span_bits(g);

	if (s->wait || !repair_can_take(r, 1))
		return 0;
	memset(s->bytes, 0, size);
	for (uint32_t k = 0; k < geom_l2_entries(g) && guest < g->disk_size; k++, guest += size)
		l2_entry_store(g, s->bytes, k, guest | ENTRY_COPIED, L2_ALL_ALLOCATED);
	if (repair_take(r, 1, &host, e) < 0 || repair_write(r, host, s->bytes, size, e) < 0 ||
	    repair_flush(r, e) < 0)
		return -1;
	l1_told(s, p, i, PROBLEM_L2_TABLE_FOREIGN,
		"a table that leads to all clusters of the data file takes its place");
	*entry = host | ENTRY_COPIED;
	return 0;
}

static int l1_entry_repair(struct tables *s, const struct walk_l1_part *p, uint32_t i,
			   uint64_t *entry, struct err *e)
{
	uint64_t host = *entry & ENTRY_OFFSET_MASK;

	if (host && is_raw_outside(s->repair) && !geom_in_cluster(&s->repair->geom, host) &&
	    check_found_foreign(&s->repair->check, host))
		return raw_table_make(s, p, i, entry, e);
	*entry = l1_repaired(s, p, i);
	return 0;
}

static bool l1_reads_alike(uint64_t raw, uint64_t want)
{
	return !((raw ^ want) & ENTRY_OFFSET_MASK);
}

static int on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct tables *s = arg;
	uint8_t bytes[8];

	if (p->owner.kind == WALK_SNAPSHOT && repair_l1_is_foreign(s->repair, p->bytes, p->nr)) {
		repair_snapshot_is_broken(s->repair, p->owner.idx);
		return 0;
	}
	for (uint32_t i = 0; i < p->nr; i++) {
		uint64_t raw = be64_get(p->bytes + i * UINT64_C(8));
		uint64_t place = p->place + i * UINT64_C(8), want = raw;

		if (raw && repair_may_edit(s->repair, place, WALK_L1_TABLE) &&
		    l1_entry_repair(s, p, i, &want, e) < 0)
			return -1;
		if (want == raw)
			continue;
		be64_put(bytes, want);
		if (p->owner.kind == WALK_ACTIVE && !l1_reads_alike(raw, want) &&
		    repair_disk_changes(s->repair, e) < 0)
			return -1;
		if (repair_write(s->repair, place, bytes, sizeof bytes, e) < 0)
			return -1;
	}
	return 0;
}

static int on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct tables *s = arg;
	struct repair *r = s->repair;

	if (check_found_foreign(&r->check, t->host) ||
	    !repair_may_edit(r, t->host, WALK_L2_TABLE))
		return 0;
	memcpy(s->bytes, t->bytes, geom_cluster_size(&r->geom));
	return repair_l2_table(r, t, s->bytes, e);
}

/* Foreign tables whose entries may be changed. An L1 table that something else lies on comes later, when
 * that is settled. */
static int on_l1_part_foreign(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct tables *s = arg;

	for (uint32_t i = 0; i < p->nr; i++) {
		uint64_t host = be64_get(p->bytes + i * UINT64_C(8)) & ENTRY_OFFSET_MASK, seen;

		if (check_found_foreign(&s->repair->check, host) &&
		    repair_may_edit(s->repair, p->place + i * UINT64_C(8), WALK_L1_TABLE) &&
		    !places_find(&s->wanted, host, 0, &seen) &&
		    places_add(&s->wanted, host, 0, 1, e) < 0)
			return -1;
	}
	return 0;
}

/* An empty table in the place of one that is lost tells that something was there: the clusters that
 * it mapped are not taken for garbage (ops/suspects.c). */
static int empty_tables_make(struct tables *s, struct err *e)
{
	static const struct walk_ops ops = { .l1_part = on_l1_part_foreign };
	struct repair *r = s->repair;
	uint64_t size = geom_cluster_size(&r->geom), host;
	struct walk *w;

	s->wait = repair_has(r, PROBLEM_L1_ENTRY_OUT_OF_FILE) ||
		  repair_has(r, PROBLEM_L2_ENTRY_OUT_OF_FILE) ||
		  repair_has(r, PROBLEM_COMPRESSED_OUT_OF_FILE);
	if (s->wait || is_raw_outside(r) || !repair_can_take(r, r->check.foreign_nr))
		return 0;
	w = repair_walk(r, &ops, s, e);
	walk_free(w);
	if (!w)
		return -1;
	memset(s->bytes, 0, size);
	for (size_t i = 0; i < r->check.foreign_nr; i++) {
		if (!places_find(&s->wanted, r->check.foreign[i], 0, &host))
			continue;
		if (repair_take(r, 1, &host, e) < 0 ||
		    repair_write(r, host, s->bytes, size, e) < 0 ||
		    places_add(&s->instead, r->check.foreign[i], 0, host, e) < 0)
			return -1;
		if (!vec_grow(&r->replaced, r->replaced_nr, &r->replaced_room))
			return err_nomem(e);
		r->replaced[r->replaced_nr++] = r->check.foreign[i];
	}
	return repair_flush(r, e);
}

int repair_entries(struct repair *r, struct err *e)
{
	struct walk_ops ops = { 0 };
	struct tables s = { .repair = r };
	struct walk *w = NULL;

	if (any_of(r, l1_kinds, sizeof l1_kinds / sizeof *l1_kinds))
		ops.l1_part = on_l1_part;
	if (any_of(r, l2_kinds, sizeof l2_kinds / sizeof *l2_kinds))
		ops.l2_table = on_l2_table;
	if (!ops.l1_part && !ops.l2_table)
		return 0;
	s.bytes = malloc(geom_cluster_size(&r->geom));
	if (!s.bytes)
		return err_nomem(e);
	if (!r->check.foreign_nr || empty_tables_make(&s, e) == 0)
		w = repair_walk(r, &ops, &s, e);
	walk_free(w);
	places_fini(&s.wanted);
	places_fini(&s.instead);
	free(s.bytes);
	return w ? 0 : -1;
}
