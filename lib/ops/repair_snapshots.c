/* The snapshot table, written anew where entries of it are wrong (8.1). Snapshots that cannot be read
 * are dropped if the user says so, and never else. */
#include "ops/repair_snapshots.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"

void repair_snapshot_note(struct repair *r, const struct finding *f)
{
	bool l1 = f->kind == PROBLEM_SNAPSHOT_L1_SIZE || f->kind == PROBLEM_SNAPSHOT_L1_UNALIGNED ||
		  f->kind == PROBLEM_SNAPSHOT_L1_OUT_OF_FILE || f->kind == PROBLEM_SNAPSHOT_L1_OVERLAP;

	if (l1 && f->owner == FINDING_SNAPSHOT)
		repair_snapshot_is_broken(r, f->owner_idx);
}

void repair_snapshot_is_broken(struct repair *r, uint32_t idx)
{
	if (idx >= SNAPSHOTS_MAX)
		return;
	bit_set(r->l1_broken, idx);
	r->l1_broken_any = true;
}

void snapshots_told(struct repair *r, enum problem_kind kind, uint64_t place, uint64_t value,
		     const char *how)
{
	struct finding f = { .kind = kind,
			     .has_place = place,
			     .place = place,
			     .has_value = true,
			     .value = value };

	repair_fixed(r, &f, how);
}

/* The new table becomes the one that the header names. */
static int table_store(struct snapshot_repair *t, struct err *e)
{
	struct repair *r = t->repair;
	uint64_t size = geom_cluster_size(&r->geom), len = align_up(t->out.pos, size), host = 0;

	if (t->taken && repair_abandon(r, r->header.snapshots_off, t->taken, WALK_SNAPSHOT_TABLE, e) < 0)
		return -1;
	if (len && (repair_take(r, len >> r->geom.cluster_bits, &host, e) < 0 ||
		    repair_write(r, host, t->out.base, (size_t)len, e) < 0))
		return -1;
	r->header.nb_snapshots = t->kept;
	r->header.snapshots_off = host;
	return repair_header(r, HEADER_SNAPSHOTS, e);
}

static bool wanted(const struct repair *r)
{
	return repair_has(r, PROBLEM_SNAPSHOT_COUNT) ||
	       repair_has(r, PROBLEM_SNAPSHOT_TABLE_SIZE) ||
	       repair_has(r, PROBLEM_SNAPSHOT_EXTRA_LARGE) ||
	       repair_has(r, PROBLEM_SNAPSHOT_EXTRA_SHORT) ||
	       repair_has(r, PROBLEM_SNAPSHOT_NAME) ||
	       repair_has(r, PROBLEM_SNAPSHOT_L1_LONG) ||
	       repair_has(r, PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE) ||
	       (r->options->drop_snapshots && r->l1_broken_any);
}

static void kept_told(struct repair *r)
{
	if (!r->told_snapshots)
		repair_say(r, "snapshots that can't be read are left as they are; --drop-snapshots "
			      "gives them up");
	r->told_snapshots = true;
}

/* What makes no sense at the end of the table is none of it if the number is wrong, too; else it may
 * be a snapshot, and stays for somebody who looks. */
static bool may_cut(const struct repair *r)
{
	return r->header.nb_snapshots > SNAPSHOTS_MAX ||
	       repair_has(r, PROBLEM_SNAPSHOT_TABLE_SIZE) || r->options->drop_snapshots;
}

/* L1 tables right behind the end of the file are in the way of the table that is to do without them. They
 * go first, in the old one: it is written anew in the next round. */
static int l1_tables_empty(struct snapshot_repair *t, struct err *e)
{
	struct repair *r = t->repair;

	memcpy(r->l1_emptied, r->l1_broken, sizeof r->l1_emptied);
	r->l1_emptied_any = true;
	t->empties = true;
	return snapshot_entries_take(t, false, e);
}

static int table_repair(struct snapshot_repair *t, struct err *e)
{
	struct repair *r = t->repair;
	uint32_t had = r->header.nb_snapshots;

	if (file_read_padded(r->file, r->header.snapshots_off, t->bytes, t->n, NULL, e) < 0 ||
	    snapshot_entries_take(t, false, e) < 0)
		return -1;
	if (t->out.failed)
		return 0;
	if (t->seen < had && !may_cut(r)) {
		kept_told(r);
		return 0;
	}
	uint64_t len = align_up(t->out.pos, geom_cluster_size(&r->geom));

	if (r->options->drop_snapshots && r->l1_broken_any && !r->l1_emptied_any &&
	    !repair_can_take(r, len >> r->geom.cluster_bits))
		return l1_tables_empty(t, e);
	/* It will be written: now is the time to say so. */
	if (snapshot_entries_take(t, true, e) < 0)
		return -1;
	if (had > SNAPSHOTS_MAX)
		snapshots_told(r, PROBLEM_SNAPSHOT_COUNT, 0, had, NULL);
	if (repair_has(r, PROBLEM_SNAPSHOT_TABLE_SIZE))
		snapshots_told(r, PROBLEM_SNAPSHOT_TABLE_SIZE, r->header.snapshots_off, had, NULL);
	if (repair_has(r, PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE))
		snapshots_told(r, PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE, r->header.snapshots_off, had, NULL);
	if (t->kept < had)
		repair_say(r, "%" PRIu32 " snapshots are kept of the %" PRIu32
			      " that the header speaks of",
			   t->kept, had);
	r->snapshots_cut = r->l1_emptied_any = false; /* what is written now is not */
	memset(r->l1_emptied, 0, sizeof r->l1_emptied);
	/* If all are found nothing of them is lost. */
	if (t->kept == had || had > SNAPSHOTS_MAX) {
		r->found.pointers_lost &= ~(unsigned)LOST_SNAPSHOTS;
		r->forgets = r->found.pointers_lost;
	}
	return table_store(t, e);
}

static int table_read_and_repair(struct repair *r, size_t n, struct err *e)
{
	struct snapshot_repair *t = calloc(1, sizeof *t);
	size_t room = SNAPSHOT_TABLE_BYTES_MAX + geom_cluster_size(&r->geom);
	int ret = -1;

	if (!t)
		return err_nomem(e);
	t->repair = r;
	t->n = n;
	t->bytes = malloc(t->n);
	t->out = wr_over(calloc(1, room), SNAPSHOT_TABLE_BYTES_MAX);
	if (!t->bytes || !t->out.base)
		err_nomem(e);
	else
		ret = table_repair(t, e);
	free(t->out.base);
	free(t->bytes);
	free(t);
	return ret;
}

/* The header leads to nothing that could be a table: there are no snapshots any more. */
static int table_drop(struct repair *r, enum problem_kind kind, struct err *e)
{
	uint32_t had = r->header.nb_snapshots;

	if (had && !r->options->drop_snapshots) {
		kept_told(r);
		return 0;
	}
	snapshots_told(r, kind, 0, r->header.snapshots_off, "the header leads to no table any more");
	if (had)
		repair_say(r, "none is kept of the %" PRIu32
			      " snapshots that the header speaks of",
			   had);
	r->header.nb_snapshots = 0;
	r->header.snapshots_off = 0;
	return repair_header(r, HEADER_SNAPSHOTS, e);
}

/* Those that were being given up when a repair was stopped: no disk does without an L1 table. */
static void emptied_note(struct repair *r)
{
	uint32_t nr;
	const struct walk_snapshot *snapshots = walk_snapshots(r->check.walk, &nr);

	for (uint32_t i = 0; i < MIN(nr, SNAPSHOTS_MAX) && r->options->drop_snapshots; i++)
		if (snapshots[i].l1_off && !snapshots[i].l1_nr && snapshots[i].disk_size) {
			bit_set(r->l1_broken, i);
			r->l1_broken_any = true;
		}
}

int repair_snapshots(struct repair *r, struct err *e)
{
	uint64_t end = align_up(file_size(r->file), geom_cluster_size(&r->geom));
	uint64_t off = r->header.snapshots_off;

	if (repair_has(r, PROBLEM_SNAPSHOT_TABLE_UNALIGNED))
		return table_drop(r, PROBLEM_SNAPSHOT_TABLE_UNALIGNED, e);
	emptied_note(r);
	if (r->l1_broken_any && !r->options->drop_snapshots)
		kept_told(r);
	if (!wanted(r))
		return 0;
	if (!off || off >= end || !r->header.nb_snapshots)
		return repair_has(r, PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE)
			   ? table_drop(r, PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE, e)
			   : 0;
	return table_read_and_repair(r, (size_t)MIN(end - off, SNAPSHOT_TABLE_BYTES_MAX), e);
}
