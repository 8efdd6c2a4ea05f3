#pragma once
#include "format/bitmap_entry.h"
#include "ops/check_internal.h"
#include "ops/orphans_internal.h"
#include "ops/repair.h"
#include "ops/repair_undo.h"

/* A repair goes in rounds: a pass of the check, then the first stage that has something to do, then
 * the next round. See "How a repair flows" in lib/README. */

struct repair {
	struct file *file, *data_file; /* data_file: only to be looked at, or NULL */
	uint8_t *header_bytes; /* the first cluster, as the file has it */
	struct header header;
	struct geom geom;
	const struct repair_options *options;
	struct repair_result *result;

	struct check check; /* of this round, and what it found */
	struct check_result found;
	struct check_options check_options;
	uint64_t passes;
	bool report;	    /* this pass is told to the user */

	bool began;	   /* autoclear bits that we don't keep up are gone */
	struct repair_noted noted; /* what the undo file was told */
	bool unflushed;
	uint64_t writes;
	bool attached; /* what is to be put back by hand is */
	bool left_l1;  /* the L1 table of the disk is a copy of what may be none */
	uint64_t clusters; /* of the file as it was found: what is new is nobody's to hear about */
	uint64_t *replaced; /* host offsets of foreign L2 tables that nothing leads to any more */
	size_t replaced_nr, replaced_room;
	struct orphans orphans; /* leaked clusters that may be data, as of this round */
	bool told_narrow, told_many, told_header, told_snapshots, told_places, told_encrypted;

	/* Bit per cluster of the file as it was found, or NULL (ops/repair_suspects.c): */
	uint8_t *marked;    /* leaks that may be lost data, and were given a mark */
	uint8_t *abandoned; /* what this repair has replaced: nothing that anybody lost */
	bool forgets;	    /* what the stage at hand mends may be what tells of lost data */
	bool forgot;	    /* such a stage has written something */
	bool marking, told_unmarked;
	bool unrecorded; /* bitmaps that record were told that the disk changes */
	unsigned disk_lies_on; /* in this round: bit per enum walk_what that has data of the disk on it */

	bool refcounts_forgotten; /* in this round: nothing is counted for them any more */
	uint64_t outside; /* the lowest host byte of what leads out of the file and stays */
	uint8_t l1_broken[SNAPSHOTS_MAX / 8]; /* bit per snapshot: this pass can't follow its L1 */
	bool l1_broken_any;
	bool snapshots_cut; /* the snapshot table begins in the file, and ends behind it */
	bool outside_stays; /* more than entries of tables lead out of the file */
	uint64_t outside_else; /* the same without what goes if snapshots are given up */
	uint64_t next; /* where new clusters go; 0: not known in this round */
	uint64_t next_inside; /* the cluster of the file from which on none was taken in this round */
	bool counts_sound; /* as the image was found: nothing in use was counted as free */
	uint8_t l1_emptied[SNAPSHOTS_MAX / 8]; /* of snapshots that are being given up */
	bool l1_emptied_any;
};

/* --- repair_write.c --- */
/* Every write goes through repair_write(), but those of whole new structures, which begin with
 * repair_begin_write(). */
int repair_begin_write(struct repair *r, struct err *e) MUST_CHECK;
int repair_write(struct repair *r, uint64_t off, const void *bytes, size_t n,
		 struct err *e) MUST_CHECK;
int repair_flush(struct repair *r, struct err *e) MUST_CHECK;
/* Whether a table, WALK_L1_TABLE or WALK_L2_TABLE, has the cluster at `host` for itself: what lies on
 * another structure is no table, and to mend its entries would be to break that one; nor while guest
 * data lie there, too, which would lose its bytes. */
bool repair_may_edit(const struct repair *r, uint64_t host, enum walk_what what);
/* Fields of r->header were changed: they reach the file, in its first sector, durably. All else is
 * durable before. */
int repair_header(struct repair *r, unsigned fields, struct err *e) MUST_CHECK;
/* The same for a header whose extensions are others. */
int repair_header_replace(struct repair *r, const struct header *h, struct err *e) MUST_CHECK;
/* Takes r->header and r->geom from r->header_bytes. */
int repair_header_load(struct repair *r, struct err *e) MUST_CHECK;
/* Tells the undo file what the tables are that the header in the file leads to. */
int repair_tables_note(struct repair *r, struct err *e) MUST_CHECK;
/* Counts what is repaired, and tells it. */
void repair_fixed(struct repair *r, const struct finding *f, const char *how);
/* The same for many of a kind that are not told one by one. */
void repair_fixed_many(struct repair *r, enum problem_kind kind, uint64_t nr);
void repair_say(struct repair *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A walk over the trees that the check could follow, as they are now; the caller frees it. */
struct walk *repair_walk(struct repair *r, const struct walk_ops *ops, void *arg, struct err *e);

static inline bool repair_has(const struct repair *r, enum problem_kind kind)
{
	return r->found.kinds[kind] != 0;
}

/* --- repair_place.c --- */
/* New clusters, contiguous, where nothing is and nothing leads: the last ones of the file, or free ones
 * in it if it must not grow. */
int repair_take(struct repair *r, uint64_t nr, uint64_t *host, struct err *e) MUST_CHECK;
/* Whether there is room for them. */
bool repair_can_take(struct repair *r, uint64_t nr);
void repair_outside_note(struct repair *r, const struct finding *f);

/* --- repair_roots.c --- */
/* Whether what L1 entries are taken from may be something else, such as guest data: none of them leads to
 * a table, and some make no sense. */
bool repair_l1_is_foreign(const struct repair *r, const uint8_t *bytes, uint64_t nr);

/* --- repair_snapshots.c --- */
void repair_snapshot_note(struct repair *r, const struct finding *f);
/* In this round: the L1 table of this snapshot is not to be mended, but may be given up. */
void repair_snapshot_is_broken(struct repair *r, uint32_t idx);

/* --- repair_suspects.c --- */
/* Marks leaks that may be lost data, durably, before what tells so is gone. */
int repair_mark_suspects(struct repair *r, struct err *e) MUST_CHECK;
bool repair_is_marked(const struct repair *r, uint64_t cluster);
/* A structure that is replaced: its clusters, where nothing else lies, are garbage from now on. */
int repair_abandon(struct repair *r, uint64_t host, uint64_t len, enum walk_what what,
		   struct err *e) MUST_CHECK;
/* Whether a leak is what this repair has left behind. */
bool repair_is_own_leak(const struct repair *r, uint64_t cluster);

/* --- repair_unrecorded.c --- */
/* To be called before anything is written that changes what the disk reads: bitmaps that are to record
 * it are marked, durably. */
int repair_disk_changes(struct repair *r, struct err *e) MUST_CHECK;
/* Says that so many are marked; `first`: the name of one, escaped and cut. */
#define UNRECORDED_NAME_MAX 160
void repair_unrecorded_told(struct repair *r, uint32_t nr, const char *first);
/* Whether a bitmap records, and did up to now. */
static inline bool repair_bitmap_records(const struct bitmap_entry *x)
{
	return (x->flags & (BITMAP_AUTO | BITMAP_IN_USE)) == BITMAP_AUTO;
}

/* --- repair_leaks.c --- */
/* Whether leaked clusters may be freed in this round at all, and whether this one may. The only
 * place that decides it. */
bool repair_may_free(const struct repair *r);
bool repair_may_free_cluster(const struct repair *r, uint64_t cluster);
/* What the count of a cluster is to become. */
uint64_t repair_target(struct repair *r, uint64_t cluster);

/* Whether nothing but COPIED flags is wrong. */
bool repair_only_copied(const struct repair *r);
/* Gives marked clusters the count that is their mark. */
int repair_marks_store(struct repair *r, struct err *e) MUST_CHECK;
/* Raises counts in the blocks that are there. */
int repair_raise(struct repair *r, struct err *e) MUST_CHECK;

/* --- repair_counts.c --- */
/* Whether the refcount structure cannot be trusted. */
bool repair_refcounts_lost(const struct repair *r);
/* Takes back what the refcount structure itself was counted for. */
int repair_forget_refcounts(struct repair *r, struct err *e) MUST_CHECK;

/* --- repair_doubt.c --- */
/* Whether the header is not to be believed, so that nothing may be repaired by it; that is said. */
int repair_header_doubt(struct repair *r, bool *doubt, struct err *e) MUST_CHECK;

/* --- repair_orphans.c --- */
/* The stage that comes first: lost L2 tables go back before what tells their places is repaired. */
int repair_orphans(struct repair *r, struct err *e) MUST_CHECK;

/* The stages. Each does what the findings of the round ask for, and nothing if they don't. */
int repair_roots(struct repair *r, struct err *e) MUST_CHECK;
int repair_snapshots(struct repair *r, struct err *e) MUST_CHECK;
int repair_bitmaps(struct repair *r, struct err *e) MUST_CHECK;
int repair_entries(struct repair *r, struct err *e) MUST_CHECK;
int repair_doubles(struct repair *r, struct err *e) MUST_CHECK;
int repair_counts(struct repair *r, struct err *e) MUST_CHECK;
int repair_leaks(struct repair *r, struct err *e) MUST_CHECK;
int repair_copied(struct repair *r, struct err *e) MUST_CHECK;
int repair_bits(struct repair *r, struct err *e) MUST_CHECK;
int repair_extensions(struct repair *r, struct err *e) MUST_CHECK;

/* A table in memory, its changes written together. */
struct repair_table {
	uint64_t host;
	uint8_t *bytes;
	size_t from, to; /* bytes that were changed; from >= to: none */
};
void repair_table_put(struct repair_table *t, size_t at, uint64_t value);
/* The same, and nothing but what was changed: for a table whose sectors are not all in `bytes`. */
int repair_words_store(struct repair *r, struct repair_table *t, struct err *e) MUST_CHECK;
int repair_table_store(struct repair *r, struct repair_table *t, struct err *e) MUST_CHECK;
