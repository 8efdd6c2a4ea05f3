/* An L2 table that goes back to an L1 entry of the disk.
 *
 * Only clusters that are counted once more than anybody refers to them go back with a table, so that no
 * count has to rise and no claim of another owner becomes false. The table's own claims are made true
 * while nothing leads to it; that is durable before the L1 entry is written. A crash in between leaves
 * the table lost, as it was. */
#include "ops/repair_back.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "format/l1_entry.h"

int repair_back_refer(struct repair_back *b, uint64_t host, uint64_t len, struct err *e)
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
static int entries_refer(struct repair_back *b, uint32_t *done, struct err *e)
{
	const struct geom *g = &b->repair->geom;

	for (*done = 0; !g->data_file && *done < geom_l2_entries(g); ++*done) {
		struct l2_entry x = l2_entry_at(g, b->table.bytes, *done);

		if (x.packed ? repair_back_refer(b, x.host, x.host_len, e) < 0
			     : x.has_host && repair_back_refer(b, x.host, geom_cluster_size(g), e) < 0)
			return -1;
	}
	return 0;
}

/* All or nothing. */
static int table_refers(struct repair_back *b, struct err *e)
{
	const struct geom *g = &b->repair->geom;
	struct counts *expected = &b->repair->check.expected;
	uint64_t cluster = b->table.host >> g->cluster_bits;
	uint32_t done;

	if (repair_back_refer(b, b->table.host, geom_cluster_size(g), e) < 0)
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
static int claims_settle(struct repair_back *b, struct err *e)
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

static int entry_point(struct repair_back *b, struct err *e)
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

int repair_slot_read(struct repair *r, uint32_t idx, uint64_t *raw, struct err *e)
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

int repair_table_put_back(struct repair_back *b, struct err *e)
{
	struct repair *r = b->repair;
	unsigned span = geom_l2_span_bits(&r->geom);
	uint64_t raw = 0;

	if (repair_slot_read(r, b->l1_idx, &raw, e) < 0)
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

int repair_back_load(struct repair_back *b, struct repair *r, uint64_t host, uint32_t l1_idx,
		     struct err *e)
{
	size_t size = geom_cluster_size(&r->geom);

	*b = (struct repair_back){ .repair = r, .l1_idx = l1_idx, .table = { .host = host } };
	b->table.bytes = malloc(size);
	if (!b->table.bytes)
		return err_nomem(e);
	return file_read_padded(r->file, host, b->table.bytes, size, NULL, e);
}
