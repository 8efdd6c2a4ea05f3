#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "format/geom.h"
#include "format/header.h"
#include "io/file.h"

/* The one enumeration of every reference to a host cluster. Check, deletion, shrinking and
 * recounting must agree on what a reference is; sharing the walk makes a forgotten kind of
 * reference one bug, not four, and the check finds it.
 *
 * The walk hands over whole structures: areas (something with a place and a length), pieces
 * of L1 tables, whole L2 tables, whole refcount blocks, all as they stand in the file. What
 * is inside them is for the user's own tight loop (meta/l2_run.h). Pointers that cannot be
 * followed come as faults. L2 tables come in rising host order, each once, however many L1
 * tables lead to it.
 *
 * Memory and time are bounded by what the file holds, never by what it claims: no table is
 * read twice because two owners name it, and no stretch of holes is read. */

enum walk_what {
	WALK_HEADER,
	WALK_REFCOUNT_TABLE,
	WALK_REFCOUNT_BLOCK,
	WALK_CRYPTO_HEADER,
	WALK_SNAPSHOT_TABLE,
	WALK_BITMAP_DIRECTORY,
	WALK_BITMAP_TABLE,
	WALK_BITMAP_DATA,
	WALK_L1_TABLE,
	WALK_L2_TABLE,
	WALK_GUEST_DATA, /* never an area: what L2 tables point to */
	WALK_WHATS
};

enum walk_owner_kind {
	WALK_IMAGE,    /* the image as a whole */
	WALK_ACTIVE,   /* the disk as it is now */
	WALK_SNAPSHOT, /* snapshots[idx] of the walk */
	WALK_BITMAP,   /* entry idx of the bitmap directory */
};

struct walk_owner {
	enum walk_owner_kind kind;
	uint32_t idx;
};

/* One reference, or `times` equal ones, to all clusters that host .. host+len-1 touches.
 * The range lies in the file, or exceeds it inside the file's last cluster (4.4). */
struct walk_area {
	enum walk_what what;
	struct walk_owner owner;
	uint64_t host, len; /* bytes, len > 0 */
	uint64_t times;
};

/* What can be wrong with a pointer or a record. */
enum walk_bad {
	WALK_BAD_RESERVED,  /* reserved bits are set; followed nevertheless */
	WALK_BAD_ALIGNMENT, /* not followed, as all that come after this */
	WALK_BAD_RANGE,     /* leads outside the file by a cluster or more */
	WALK_BAD_SIZE,      /* larger than it may be */
	WALK_BAD_COUNT,     /* more of them than there may be */
	WALK_BAD_OVERLAP,   /* a table that lies across another of its kind */
	WALK_BAD_RECORD,    /* does not parse; the text says why */
	WALK_BAD_EXTRA,     /* snapshot entry: extra data longer than allowed */
	WALK_BAD_SHORT,     /* snapshot entry: extra data too short for version 3; followed.
			     * Bitmap: its table cannot cover the disk; followed */
	WALK_BAD_NAME,      /* bitmap: the same name as an earlier one; followed.
			     * Snapshot entry: a name with a zero byte; followed */
	WALK_BAD_FLAGS,     /* bitmap: unknown flags; followed */
	WALK_BAD_EMPTY,     /* refcount table of no clusters */
	WALK_BAD_FORBIDDEN, /* may not exist in this image; followed */
	WALK_BAD_MISSING,   /* promised, and not there */
	WALK_BAD_LONG,      /* L1 table of a snapshot: `value` entries, more than its disk and VM
			     * state take, and they are none; followed without them.
			     * Bitmap: a table with more entries than the disk takes; followed */
	WALK_BAD_READ, /* could not be read; the text says why. Refcount table: `value` is
			* how many entries, from `place` on */
	WALK_BADS
};

struct walk_fault {
	enum walk_what what; /* what the pointer leads to, or the record is about */
	enum walk_bad bad;
	struct walk_owner owner;
	uint64_t place; /* host offset of the pointer or record itself */
	uint64_t value; /* the pointer as stored, or the size or count that is wrong */
	uint64_t host;  /* where it leads, for those that lead somewhere */
	uint64_t guest,
	    guest_len;    /* what becomes unreadable by it; 0, 0: nothing in particular */
	const char *text; /* more, or NULL */
};

/* A piece of an L1 table. Handed over before any L2 table. */
struct walk_l1_part {
	struct walk_owner owner;
	uint64_t place;     /* host offset of the first entry */
	uint32_t first, nr; /* entries */
	uint64_t times;     /* how many owners have this very table */
	const uint8_t *bytes;
};

struct walk_l2_table {
	uint64_t host;
	const uint8_t *bytes;    /* one cluster */
	uint64_t times;          /* L1 entries that lead here, of all owners */
	uint64_t active_times;   /* those of the active L1 table */
	struct walk_owner owner; /* one of them: the active disk if it is among them */
	uint32_t l1_idx;         /* in that owner's table */
	uint32_t l1_again;       /* another one there that leads here, too; 0: none */
};

/* A refcount block that has counts of clusters in the file. */
struct walk_refcount_block {
	uint64_t first; /* host cluster of the first count */
	uint64_t host;
	const uint8_t *bytes;
};

/* Any of these may be NULL. A negative return stops the walk; the error is then the user's.
 */
struct walk_ops {
	int (*area)(void *arg, const struct walk_area *a, struct err *e);
	int (*fault)(void *arg, const struct walk_fault *f, struct err *e);
	/* Whether a structure that was handed over has a place: an L1 table of a snapshot that leads
	 * there is not its own, and comes as a fault. NULL: it is not asked. */
	bool (*taken)(void *arg, uint64_t host, uint64_t len);
	int (*refcount_block)(void *arg, const struct walk_refcount_block *b,
			      struct err *e);
	int (*l1_part)(void *arg, const struct walk_l1_part *p, struct err *e);
	/* Blocks and tables without any entry are not handed over. */
	int (*l2_table)(void *arg, const struct walk_l2_table *t, struct err *e);
};

/* What the walk needs to know of a snapshot. */
struct walk_snapshot {
	uint64_t l1_off;
	uint32_t l1_nr;     /* entries that are followed */
	uint32_t l1_need;   /* that its disk and VM state take; 0: it does not say */
	uint64_t disk_size; /* bytes; 0: it does not say */
	bool followed;	/* its L1 table could be walked */
	bool shortened; /* it claims more entries than l1_nr: WALK_BAD_LONG */
	char id[128];   /* as stored, up to a zero byte, and cut to fit */
	char name[256]; /* the same */
};

struct walk;

struct walk_source {
	struct file *file;
	const struct header *header;
	const struct geom *geom;
};

struct walk *walk_new(const struct walk_source *s, const struct walk_ops *ops, void *arg,
		      const struct watch *watch, struct err *e);
void walk_free(struct walk *w);
/* *unread becomes true as soon as something can't be read, whether or not faults are asked for. */
void walk_tell_unread(struct walk *w, bool *unread);

/* Everything but L1 and L2 tables: header, refcount table and blocks, crypto header,
 * snapshot table, bitmaps. Also finds the L1 tables for walk_trees(). */
int walk_metadata(struct walk *w, struct err *e) MUST_CHECK;
/* The L1 tables as areas and parts, then the L2 tables. */
int walk_trees(struct walk *w, struct err *e) MUST_CHECK;
/* The same without the L2 tables. */
int walk_l1_tables(struct walk *w, struct err *e) MUST_CHECK;
/* One more L1 table for walk_trees(), instead of walk_metadata() finding them all. */
int walk_add_tree(struct walk *w, struct walk_owner owner, uint64_t l1_off, uint32_t l1_nr,
		  struct err *e) MUST_CHECK;

/* Snapshots of the table, as far as it could be read. */
const struct walk_snapshot *walk_snapshots(const struct walk *w, uint32_t *nr);
/* Where the next entry of their table would begin, if all that the header speaks of were met and there
 * are any; else 0. */
uint64_t walk_snapshots_end(const struct walk *w);

/* Whether host .. host+len-1 lies in the clusters that the file reaches into. */
bool walk_in_file(const struct walk *w, uint64_t host, uint64_t len);
/* After walk_trees(): whether the L1 table of the disk is an L2 table of a snapshot, as far as its
 * entries tell. */
bool walk_disk_is_disowned(const struct walk *w);
/* Whether the entries of an L1 table lead to L2 tables, by those of them that come first. One that has
 * none leads nowhere wrong. Overwrites the walk's buffer. */
bool walk_leads_to_tables(struct walk *w, uint64_t l1_off, uint64_t l1_nr);
/* Whether the header or an L1 table is there, as far as that maps the disk: no L2 table can be. */
bool walk_is_root(const struct walk *w, uint64_t host);
/* Whether an L1 entry leads to an L2 table that the walk reads; *host: where. */
bool walk_l2_followed(const struct walk *w, uint64_t l1_raw, uint64_t *host);
