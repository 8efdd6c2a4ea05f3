#pragma once
#include "format/snapshot_entry.h"
#include "meta/walk.h"

/* An L1 table to walk. */
struct walk_tree {
	struct walk_owner owner;
	uint64_t l1_off;
	uint32_t l1_nr;
	uint64_t times; /* owners with this very table */
	bool active;    /* the active disk is one of them */
};

/* Bytes host .. end-1 of the file. */
struct walk_root {
	uint64_t host, end;
};

/* An L2 table that some L1 entry leads to. */
struct walk_l2_ref {
	uint64_t host, times, active_times;
	uint32_t l1_idx, tree;
	uint32_t l1_again; /* another entry of that tree that leads here; 0: none */
};

struct walk {
	struct walk_source src;
	const struct walk_ops *ops;
	void *arg;
	const struct watch *watch;
	uint64_t end; /* first byte that no referenced range may reach */

	struct walk_snapshot *snapshots;
	uint32_t snapshot_nr;
	size_t snapshot_room;
	uint64_t snapshots_end; /* host byte behind the last entry; 0: not all were met */

	struct walk_tree *trees;
	size_t tree_nr, tree_room;
	struct walk_root *roots; /* by host: where no L2 table can be */
	size_t root_nr;

	struct walk_l2_ref *refs;
	size_t ref_nr, ref_room, refs_max;
	uint64_t from, until; /* host offsets of L2 tables of the present pass */
	/* May leave some of refs out; NULL: all count. */
	int (*choose)(struct walk *w, struct err *e);

	uint8_t *buf; /* WALK_BUFFER bytes, or a cluster if that is more */
	size_t buf_len;
	struct hole_map holes;
	bool *unread;	/* set when something can't be read; or NULL */
	bool ask_holes; /* the last table was empty: the next may be a hole */
	uint64_t long_read; /* bytes: what walk_l1_shorten() has looked at */
	bool disk_disowned; /* the disk's L1 table is an L2 table of a snapshot */
	uint64_t disown_read; /* bytes: what walk_l1_disown() has read of tables */
};

/* References to L2 tables that are kept at once: 20 MiB. If there are more L2 tables, the
 * walk goes over the L1 tables again for the rest. */
#define WALK_REFS_MAX ((size_t)512 << 10)
#define WALK_BUFFER ((size_t)256 << 10)

/* Reads a piece of a table; what the file lacks reads as zeros. *empty: all of it is zero,
 * and buf may not have been filled. Holes are not read once empty tables have been met. A
 * read error becomes a fault of the kind given in `f`, and *empty is set; this fails only
 * when the user does not accept the fault. */
int walk_read(struct walk *w, uint64_t off, uint8_t *buf, size_t n,
	      const struct walk_fault *f, bool *empty, struct err *e);
/* The same, without the fault. */
int walk_try(struct walk *w, uint64_t off, uint8_t *buf, size_t n, bool *empty,
	     struct err *why);

int walk_report(struct walk *w, const struct walk_fault *f, struct err *e);
/* Hands over an area, or the fault that says that it leaves the file: *in_file tells. `f`
 * names the pointer. len 0: nothing happens, *in_file is true. */
int walk_claim(struct walk *w, const struct walk_area *a, const struct walk_fault *f,
	       bool *in_file, struct err *e);

int walk_refcounts(struct walk *w, struct err *e);
int walk_snapshot_table(struct walk *w, struct err *e);
int walk_bitmaps(struct walk *w, struct err *e);
/* Claims the L1 table of each tree; joins equal ones, drops empty ones and those that lie across
 * another: a sound image has neither, and a hostile one could have the same bytes read again and
 * again. The active disk's table is never the one to go, and is claimed first. */
int walk_trees_settle(struct walk *w, struct err *e);
/* The L2 tables that L1 entries lead to, into w->refs; the first of possibly several passes
 * also hands over the parts. */
int walk_l1_pass(struct walk *w, bool first_pass, struct err *e);
/* Leaves at most `most` of w->refs, the tables of which lie next to clusters whose bits are
 * set, all of them in lo .. hi-1, and the last ones of the file. For w->choose. */
int walk_refs_near(struct walk *w, const uint8_t *clusters, uint64_t lo, uint64_t hi,
		   size_t most, struct err *e);
/* Entries that the disk and the VM state of a snapshot take; 0: it does not say. */
uint32_t walk_l1_need(const struct geom *g, const struct snapshot_entry *s);
/* Entries of a tree that count: not more than the disk, or the snapshot, takes. */
uint32_t walk_l1_needed(const struct walk *w, const struct walk_tree *t);
/* Trees of snapshots whose L1 table is an L2 table of another tree are no longer followed; if it is the
 * disk's, that is noted. The trees are sorted by the places of their L1 tables. */
int walk_l1_disown(struct walk *w, struct err *e);
/* If w->trees[tree], of all trees in the order of their places, belongs to a snapshot and claims more than
 * that, and something else lies there, it becomes as short as it must be. `active`: the disk's. */
int walk_l1_shorten(struct walk *w, size_t tree, const struct walk_tree *active, struct err *e);
/* The L2 tables of w->refs. */
int walk_l2_tables(struct walk *w, struct err *e);

/* --- records of variable length, through a window over a table in the file --- */
struct walk_window {
	struct walk *walk;
	uint64_t off, len; /* the table */
	uint64_t start;    /* position in the table of the window, a multiple of 8 */
	uint8_t *bytes;
	size_t n, room;
};

/* A cursor over the bytes from position pos (a multiple of 8) on: at least `want` of them,
 * or what is left of the table. Good until the next call. */
int window_at(struct walk_window *v, uint64_t pos, size_t want, struct rd *r,
	      struct err *e);
void window_fini(struct walk_window *v);
