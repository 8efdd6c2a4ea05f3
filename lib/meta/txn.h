#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "format/geom.h"
#include "format/header.h"
#include "format/snapshot_entry.h"
#include "meta/table_cache.h"

/* Changes to the metadata of an image, which reach the file in an order that makes a crash at any
 * point harmless. See "The five steps" in lib/README.
 *
 * Table edits (table_cache_edit() on the image's tables) and header fields are seen in memory at
 * once; clusters are taken and counted at once. The file learns of them with txn_commit(). What
 * is released can be taken again after the commit that made it free. One thread. */
struct txn;
struct refcounts;

/* What a txn works on. Everything belongs to the image and outlives the txn. */
struct txn_image {
	struct file *file;
	struct file *data_file;	    /* the external one, or NULL */
	struct geom *geom;
	struct header *header;	    /* as it is to be; changed by the txn's user, with txn_header() */
	uint8_t *header_bytes;	    /* the first cluster, as it is in the file */
	struct table_cache *tables; /* L1 and L2 tables */
	const struct snapshot_entry *snapshots;
	uint32_t snapshot_nr;
};

/* Loads refcounts and learns where metadata is. ERR_CORRUPT, and the image may be read but not
 * changed, when the corrupt bit is set, structures lie across each other, or refcounts are
 * unusable. */
struct txn *txn_new(const struct txn_image *img, struct err *e);
/* Forgets what was not committed; clusters that were taken for it are given back where that is
 * certain to be harmless. NULL is fine. */
void txn_free(struct txn *x);

/* Makes an image whose dirty bit is set safe to change: counts that are too low are raised, claims
 * (COPIED) are made what the counts say, and the bit goes. Nothing is lowered: what
 * looks like a leak stays for a check to judge. ERR_CORRUPT when something cannot be followed.
 * *changed: something was wrong. */
int txn_make_safe(struct txn *x, const struct watch *watch, bool *changed,
		  struct err *e) MUST_CHECK;

/* The first thing a change does (step 1): clears autoclear bits that we do not keep up, durably.
 * `keep`: the autoclear bits that stay. Once is enough. */
int txn_begin(struct txn *x, uint64_t keep, struct err *e) MUST_CHECK;
/* The same for bits that were kept so far. */
int txn_autoclear(struct txn *x, uint64_t autoclear, struct err *e) MUST_CHECK;

/* The counterpart, for when all is durable again: these autoclear bits hold from now on. The next
 * change is to begin with txn_begin() again. */
int txn_promise(struct txn *x, uint64_t bits, struct err *e) MUST_CHECK;

/* Takes between 1 and `want` (> 0) free clusters that adjoin; their contents are anything. Offsets
 * in bytes, lengths in clusters. */
int txn_take(struct txn *x, uint64_t want, uint64_t *host, uint64_t *nr,
	     struct err *e) MUST_CHECK;
/* Takes exactly nr (> 0) clusters that adjoin. */
int txn_take_all(struct txn *x, uint64_t nr, uint64_t *host, struct err *e) MUST_CHECK;
/* From now on nothing is taken below the end of the file as it is, nor what becomes free: freed
 * clusters hold old bytes. For clusters that are to read as zeros without being written. */
int txn_take_behind_end(struct txn *x, struct err *e) MUST_CHECK;
/* Takes `clusters` that adjoin for an L1 table or a bitmap's table, or one for an L2 table or a
 * bitmap's data; it begins as zeros. */
enum txn_table { TXN_L1_TABLE, TXN_L2_TABLE, TXN_BITMAP_TABLE };
int txn_take_table(struct txn *x, enum txn_table what, uint64_t clusters, uint64_t *host,
		   struct err *e) MUST_CHECK;

/* `times` (> 0) more references to the cluster at `host`, which this txn or an earlier one has
 * taken. */
int txn_share(struct txn *x, uint64_t host, uint64_t times, struct err *e) MUST_CHECK;

/* host .. host+len-1: the clusters that it touches lose `times` references, once the file does not
 * point there any more. */
int txn_release(struct txn *x, uint64_t host, uint64_t len, uint64_t times,
		struct err *e) MUST_CHECK;
/* The same for guest data: ERR_CORRUPT if metadata lies there, with the corrupt bit set, for what is
 * released may be overwritten. */
int txn_release_guest(struct txn *x, uint64_t host, uint64_t len, uint64_t times,
		      struct err *e) MUST_CHECK;
/* The refcount of the cluster at `host`, with what was taken but without what was released. */
int txn_refcount(struct txn *x, uint64_t host, uint64_t *count, struct err *e) MUST_CHECK;

/* The refcounts as they are known here, for who replaces all of them; not to be changed. */
struct refcounts *txn_refcounts(struct txn *x);

/* Fields of the header (enum header_fields) were changed in memory: they reach the file with the
 * next commit, behind all tables. */
void txn_header(struct txn *x, unsigned fields);
/* The same for a header cluster that is to be written as a whole (meta/header_store.h); nothing may be
 * taken between this and the commit, with which the header in memory becomes that one. `bytes`: a
 * cluster, malloc'd, taken over. */
void txn_header_replace(struct txn *x, uint8_t *bytes);

/* Whether nr clusters from host on may be written as guest data: ERR_CORRUPT if they hold
 * metadata; the corrupt bit is then set and nothing is written any more. */
int txn_guest_check(struct txn *x, uint64_t host, uint64_t nr, struct err *e) MUST_CHECK;
/* Whether one of nr clusters from host on holds metadata other than tables and data of bitmaps. */
bool txn_is_metadata(const struct txn *x, uint64_t host, uint64_t nr);
/* The bitmap directory is there from now on: nobody else may write to it. */
int txn_guard_bitmaps(struct txn *x, uint64_t host, uint64_t len, struct err *e) MUST_CHECK;
/* A cluster of bitmaps in force that is not theirs alone: its count is not 1, or other metadata, guest
 * data or another entry of a bitmap is there, too. */
struct txn_shared {
	uint64_t host;
	uint32_t idx;  /* the entry of the directory that leads there, or TXN_DIRECTORY: it itself */
#define TXN_DIRECTORY UINT32_MAX
	bool is_table; /* it belongs to the bitmap's table, not to its data */
};
/* Calls `found` for each of them; a negative return ends the search, the error is then the caller's.
 * Reads all L2 tables where bitmaps own anything; in the file, so that nothing that was edited may
 * wait. */
typedef int txn_shared_fn(void *arg, const struct txn_shared *x, struct err *e);
int txn_bitmaps_shared(struct txn *x, const struct watch *watch, txn_shared_fn *found, void *arg,
		       struct err *e) MUST_CHECK;
/* Sets the corrupt bit (version 3) and refuses everything from now on. Returns -1 with what e
 * says. */
int txn_mark_corrupt(struct txn *x, struct err *e);

/* Step 2 ahead of the commit: what was taken so far becomes durable with its counts, and what comes
 * then finds no disk that is full. After an error the txn can only be freed. */
int txn_settle(struct txn *x, struct err *e) MUST_CHECK;
/* How much waits: beyond a bound a bulk writer should commit. */
bool txn_is_full(struct txn *x);
/* Steps 2 to 4. What was written to new clusters becomes durable before anything points there.
 * After an error the txn can only be freed. */
int txn_commit(struct txn *x, struct err *e) MUST_CHECK;
/* The last commit: freed clusters are counted durably, too. */
int txn_finish(struct txn *x, struct err *e) MUST_CHECK;
/* Gives the space of clusters that become free back to the file system. */
void txn_punch(struct txn *x, bool punch);
/* Refcount blocks that count nothing but themselves since clusters became free are given up, and
 * so are clusters at the end of the refcount table that lead to no block. After txn_finish();
 * everything is durable again when it returns. */
int txn_trim(struct txn *x, struct err *e) MUST_CHECK;
/* The file may be cut behind this byte: the end of the last cluster that is counted, or known to hold
 * metadata. After txn_finish() or before anything was changed. */
int txn_image_end(struct txn *x, uint64_t *end, struct err *e) MUST_CHECK;

bool txn_has_snapshots(const struct txn *x);
/* Whether nothing but the active disk and the tables owns clusters: no snapshots, no bitmaps, no
 * encryption. */
bool txn_can_restart(const struct txn *x);
/* Makes such an image one that maps nothing and cuts its file, without a look at what was there:
 * new tables, and the header switched to them (meta/txn_restart.c). All autoclear bits are cleared.
 * A crash leaves the image as it was or empty. *done = false and success: there is no place for the
 * tables, and nothing was changed. Otherwise the txn can only be freed, and what is known of tables
 * and refcounts is out of date. */
int txn_restart(struct txn *x, bool *done, struct err *e) MUST_CHECK;
