/* The snapshot table, written anew where entries of it are wrong (8.1). What the lengths in an entry
 * say is held against what is there: a name holds no zero byte. Snapshots that cannot be read are
 * dropped if the user says so, and never else. */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/text.h"
#include "format/snapshot_entry.h"

#define FIXED_BYTES 40
#define NAME_LEN_AT 14
#define EXTRA_LEN_AT 36
#define ENTRY_BYTES_MAX (FIXED_BYTES + SNAPSHOT_EXTRA_MAX + 2 * (size_t)UINT16_MAX)

struct snapshot_table {
	struct repair *repair;
	uint8_t *bytes; /* the old one, and what follows it */
	size_t n, taken; /* all of it; up to the end of what makes sense */
	struct wr out;
	uint32_t seen, kept; /* entries */
	bool tells;	     /* that they are repaired */
	bool empties;	     /* the L1 tables of those that are dropped, in the old table */
	uint8_t entry[ENTRY_BYTES_MAX];
};

void repair_snapshot_note(struct repair *r, const struct finding *f)
{
	bool l1 = f->kind == PROBLEM_SNAPSHOT_L1_SIZE || f->kind == PROBLEM_SNAPSHOT_L1_UNALIGNED ||
		  f->kind == PROBLEM_SNAPSHOT_L1_OUT_OF_FILE || f->kind == PROBLEM_SNAPSHOT_L1_OVERLAP;

	if (!l1 || f->owner != FINDING_SNAPSHOT || f->owner_idx >= SNAPSHOTS_MAX)
		return;
	bit_set(r->l1_broken, f->owner_idx);
	r->l1_broken_any = true;
}

static void told_how(struct repair *r, enum problem_kind kind, uint64_t place, uint64_t value,
		     const char *how)
{
	struct finding f = { .kind = kind,
			     .has_place = place,
			     .place = place,
			     .has_value = true,
			     .value = value };

	repair_fixed(r, &f, how);
}

static void told(struct repair *r, enum problem_kind kind, uint64_t place, uint64_t value)
{
	told_how(r, kind, place, value, NULL);
}

static bool has_zero(const uint8_t *p, size_t n)
{
	return n && memchr(p, 0, n);
}

/* Whether id and name can stand behind this much extra data. */
static bool extra_fits(const struct snapshot_table *t, size_t at, size_t extra)
{
	const uint8_t *p = t->bytes + at;
	size_t id = be16_get(p + 12), name = be16_get(p + NAME_LEN_AT);

	return extra <= t->n - at - FIXED_BYTES &&
	       id + name <= t->n - at - FIXED_BYTES - extra && id + name > 0 &&
	       !has_zero(p + FIXED_BYTES + extra, id + name);
}

/* How much extra data there is: what the entry says, unless id and name are found where they mostly
 * are, and not there. False: nothing makes sense. */
static bool extra_find(const struct snapshot_table *t, size_t at, size_t *extra)
{
	static const size_t usual[] = { 24, 16, 8, 0 };
	size_t stored = be32_get(t->bytes + at + EXTRA_LEN_AT);

	*extra = stored;
	if (stored <= SNAPSHOT_EXTRA_MAX && extra_fits(t, at, stored))
		return true;
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (extra_fits(t, at, usual[i])) {
			*extra = usual[i];
			return true;
		}
	return stored <= SNAPSHOT_EXTRA_MAX ? stored <= t->n - at - FIXED_BYTES
					    : extra_fits(t, at, stored);
}

/* Nothing that was ever a snapshot. */
static bool is_empty(const uint8_t *p)
{
	return !be64_get(p) && !be32_get(p + 8) && !be16_get(p + 12);
}

/* What is wrong with the L1 table of a snapshot that the pass could not follow. */
static enum problem_kind l1_kind(const struct repair *r, const struct snapshot_entry *s)
{
	if (s->l1_nr * UINT64_C(8) > L1_BYTES_MAX)
		return PROBLEM_SNAPSHOT_L1_SIZE;
	if (geom_in_cluster(&r->geom, s->l1_off))
		return PROBLEM_SNAPSHOT_L1_UNALIGNED;
	return walk_in_file(r->check.walk, s->l1_off, s->l1_nr * UINT64_C(8))
		       ? PROBLEM_SNAPSHOT_L1_OVERLAP
		       : PROBLEM_SNAPSHOT_L1_OUT_OF_FILE;
}

static void entry_drop(struct snapshot_table *t, const struct snapshot_entry *s, uint64_t place)
{
	char id[256], name[256], how[sizeof name + 32];
	struct finding f = { .kind = l1_kind(t->repair, s),
			     .owner = FINDING_SNAPSHOT,
			     .owner_idx = t->seen,
			     .owner_id = id,
			     .has_place = true,
			     .place = place,
			     .has_host = true,
			     .host = s->l1_off };

	if (!t->tells)
		return;
	text_escape(s->id.p ? s->id.p : (const uint8_t *)"", s->id.n, id, sizeof id);
	text_escape(s->name.p ? s->name.p : (const uint8_t *)"", s->name.n, name, sizeof name);
	snprintf(how, sizeof how, "\"%s\" is dropped", name);
	repair_fixed(t->repair, &f, how);
}

/* An L1 table without an entry leads nowhere. The number is within a sector. */
static int l1_empty(struct repair *r, uint64_t place, struct err *e)
{
	static const uint8_t none[4];

	return repair_write(r, place + 8, none, sizeof none, e);
}

/* Puts the entry together from its parts, decodes it, and adds it to the new table, or drops it. */
static int entry_add(struct snapshot_table *t, size_t at, size_t extra, size_t id, size_t name,
		     struct err *e)
{
	const uint8_t *p = t->bytes + at;
	size_t kept = MIN(extra, SNAPSHOT_EXTRA_MAX), n = FIXED_BYTES + kept + id + name;
	struct snapshot_entry s;
	struct rd r = rd_over(t->entry, n);

	memcpy(t->entry, p, FIXED_BYTES + kept);
	memcpy(t->entry + FIXED_BYTES + kept, p + FIXED_BYTES + extra, id + name);
	be16_put(t->entry + NAME_LEN_AT, (uint16_t)name);
	be32_put(t->entry + EXTRA_LEN_AT, (uint32_t)kept);
	if (snapshot_entry_decode(&r, &s, e) < 0)
		return -1;
	if (t->repair->options->drop_snapshots && bit_at(t->repair->l1_broken, t->seen)) {
		entry_drop(t, &s, t->repair->header.snapshots_off + at);
		return t->empties ? l1_empty(t->repair, t->repair->header.snapshots_off + at, e) : 0;
	}
	if (t->repair->geom.version >= 3 && !s.has_disk_size) {
		s.has_disk_size = true;
		s.disk_size = t->repair->geom.disk_size;
	}
	snapshot_entry_encode(&t->out, &s);
	t->kept++;
	return 0;
}

/* Whether what stands there is surely an entry. */
static bool is_entry(const struct snapshot_table *t, size_t at)
{
	const uint8_t *p;
	size_t extra;

	at = (size_t)align_up(at, 8);
	if (at > t->n || t->n - at < FIXED_BYTES)
		return false;
	p = t->bytes + at;
	return be64_get(p) && !geom_in_cluster(&t->repair->geom, be64_get(p)) &&
	       be32_get(p + 8) <= L1_BYTES_MAX / 8 && extra_find(t, at, &extra) &&
	       extra_fits(t, at, extra);
}

/* What is wrong with an entry whose name of `name` bytes is to have `kept`. */
static void entry_told(struct snapshot_table *t, size_t at, size_t name, size_t kept)
{
	struct repair *r = t->repair;
	uint32_t extra = be32_get(t->bytes + at + EXTRA_LEN_AT);
	uint64_t place = r->header.snapshots_off + at;

	if (!t->tells)
		return;
	if (extra > SNAPSHOT_EXTRA_MAX)
		told(r, PROBLEM_SNAPSHOT_EXTRA_LARGE, place, extra);
	else if (r->geom.version >= 3 && extra < SNAPSHOT_EXTRA_V3_MIN)
		told(r, PROBLEM_SNAPSHOT_EXTRA_SHORT, place, extra);
	if (kept < name)
		told(r, PROBLEM_SNAPSHOT_NAME, place, name);
}

/* 1: taken, and *at moved behind it; 0: the table ends here. */
static int entry_take(struct snapshot_table *t, size_t *at, struct err *e)
{
	const uint8_t *p = t->bytes + *at;
	size_t extra, left, here = *at;

	if (*at > t->n || t->n - *at < FIXED_BYTES || is_empty(p) || !extra_find(t, *at, &extra))
		return 0;
	left = t->n - *at - FIXED_BYTES - extra;
	size_t id = MIN(be16_get(p + 12), left), name = MIN(be16_get(p + NAME_LEN_AT), left - id);
	const uint8_t *text = p + FIXED_BYTES + extra + id;
	const uint8_t *zero = name ? memchr(text, 0, name) : NULL;
	size_t kept = zero ? (size_t)(zero - text) : name;

	entry_told(t, here, be16_get(p + NAME_LEN_AT), kept);
	*at += FIXED_BYTES + extra + id;
	/* It is the length that is wrong, unless that leads to the next one and the zero does not. */
	*at += is_entry(t, *at + kept) || !is_entry(t, *at + name) ? kept : name;
	return entry_add(t, here, extra, id, kept, e) < 0 ? -1 : 1;
}

static int entries_take(struct snapshot_table *t, bool tells, struct err *e)
{
	uint32_t nr = MIN(t->repair->header.nb_snapshots, SNAPSHOTS_MAX);
	size_t at = 0;
	int more = 1;

	t->tells = tells;
	t->seen = t->kept = 0;
	t->out = wr_over(t->out.base, SNAPSHOT_TABLE_BYTES_MAX);
	while (more > 0 && t->seen < nr && !t->out.failed) {
		at = (size_t)align_up(at, 8);
		more = entry_take(t, &at, e);
		t->seen += more > 0;
		t->taken = more > 0 ? at : t->taken;
	}
	return more < 0 ? -1 : 0;
}

/* The new table becomes the one that the header names. */
static int table_store(struct snapshot_table *t, struct err *e)
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
static int l1_tables_empty(struct snapshot_table *t, struct err *e)
{
	struct repair *r = t->repair;

	memcpy(r->l1_emptied, r->l1_broken, sizeof r->l1_emptied);
	r->l1_emptied_any = true;
	t->empties = true;
	return entries_take(t, false, e);
}

static int table_repair(struct snapshot_table *t, struct err *e)
{
	struct repair *r = t->repair;
	uint32_t had = r->header.nb_snapshots;

	if (file_read_padded(r->file, r->header.snapshots_off, t->bytes, t->n, NULL, e) < 0 ||
	    entries_take(t, false, e) < 0)
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
	if (entries_take(t, true, e) < 0)
		return -1;
	if (had > SNAPSHOTS_MAX)
		told(r, PROBLEM_SNAPSHOT_COUNT, 0, had);
	if (repair_has(r, PROBLEM_SNAPSHOT_TABLE_SIZE))
		told(r, PROBLEM_SNAPSHOT_TABLE_SIZE, r->header.snapshots_off, had);
	if (repair_has(r, PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE))
		told(r, PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE, r->header.snapshots_off, had);
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
	struct snapshot_table *t = calloc(1, sizeof *t);
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
	told_how(r, kind, 0, r->header.snapshots_off, "the header leads to no table any more");
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
