#pragma once
#include "image/bitmaps.h"
#include "image/internal.h"
#include "image/writer.h"
#include "meta/map_edit.h"
#include "meta/txn.h"

struct image_writer {
	struct disk *disk;
	struct image *img;
	struct txn *txn;
	struct disk_reader *reader;
	uint8_t *cluster;	/* room for one */
	uint8_t *sealed;	/* encrypted images: room for SEALED_ROOM bytes */
#define SEALED_ROOM ((size_t)1 << 16)
	bool held;		/* assigned data is not written yet: nothing is committed */
	bool expect_backing;	/* the image is about to get a backing file */
	bool data_file_raw;	/* the data file must read as the guest does (writer_raw.c) */
	uint64_t l1_idx;	/* whose L2 table l2_off is, which may be changed; else UINT64_MAX */
	uint64_t l2_off;
	uint64_t lane_end;	/* host byte behind the last packed cluster; 0: no lane is open */
	const struct listener *listener;
	bool begun;		/* claims that writing would break are withdrawn */
	bool tracks;		/* changes are recorded in `bitmaps` */
	struct bitmap_set bitmaps;
	uint64_t marks;		/* bytes that they take in memory */
};

static inline const struct geom *writer_geom(const struct image_writer *w)
{
	return &w->img->geom;
}

/* Whether a backing file may show where this layer says nothing. */
static inline bool writer_shows_backing(const struct image_writer *w)
{
	return w->expect_backing || w->img->backing_name || w->disk->backing;
}

/* Guest bytes are about to change, or become mapped: claims are withdrawn, and enabled bitmaps learn
 * of it. */
int writer_begin(struct image_writer *w, uint64_t guest, uint64_t len, struct err *e);
/* writer_bitmaps.c */
int writer_bitmaps_begin(struct image_writer *w, struct err *e);
int writer_bitmaps_mark(struct image_writer *w, uint64_t guest, uint64_t len, struct err *e);
int writer_bitmaps_finish(struct image_writer *w, struct err *e);
/* The L2 table of `guest`, to be changed. With a raw data file all of its entries are plain from then on. */
int writer_l2(struct image_writer *w, uint64_t guest, struct err *e);
/* Has the L2 table at hand, which maps `guest`, leave everything to a raw data file, durably. */
int writer_raw_settle(struct image_writer *w, uint64_t guest, struct err *e);
/* An entry that a writer may go by: valid, and with a data file at its place. */
int writer_entry(struct image_writer *w, uint64_t guest, struct l2_entry *x, struct err *e);
int writer_entry_set(struct image_writer *w, uint64_t guest, uint64_t raw, uint64_t bitmap,
		     struct err *e);
/* Whether the entry's host cluster may be written to as it is: it has one, and nobody else does. */
int writer_in_place(struct image_writer *w, const struct l2_entry *x, bool *in_place,
		    struct err *e);
/* Gives up what the entry refers to. */
int writer_release(struct image_writer *w, const struct l2_entry *x, struct err *e);
/* Host place for `want` clusters from `guest` on that have none that may be written to. */
int writer_take(struct image_writer *w, uint64_t guest, uint64_t want, uint64_t *host,
		uint64_t *nr, struct err *e);
/* What a guest is to read at `guest` goes to `host`: encrypted, where the image is; then in whole
 * sectors. */
int writer_write_host(struct image_writer *w, uint64_t guest, uint64_t host, const void *buf,
		      size_t n, struct err *e);
/* Writes bytes from .. to-1 of the cluster at `guest`, not all of it (writer_cow.c). */
int writer_write_part(struct image_writer *w, uint64_t guest, uint64_t from, uint64_t to,
		      const uint8_t *buf, struct err *e);
/* L1 entry idx becomes 0, and what it leads to loses a reference (writer_tree.c). */
int writer_l1_clear(struct image_writer *w, uint32_t idx, struct err *e);
/* The bits of the subclusters that bytes from .. to-1 of a cluster touch. */
uint64_t writer_subclusters(const struct geom *g, uint64_t from, uint64_t to);

/* Writes a snapshot table to new clusters; it is in force with the next commit (snapshots.c). */
int writer_snapshot_table(struct image_writer *w, const struct snapshot_entry *all, uint32_t nr,
			  struct err *e);

/* Marks that say "zeros", in all trees (amend_expand.c). */
struct zero_marks {
	uint64_t marks;	 /* entries of L2 tables, each table once */
	uint64_t packed; /* compressed clusters, likewise */
};
/* Counts them; ERR_CORRUPT when something can't be followed. The disk will have been made as short as
 * `size` says by then, or shorter than that: compressed clusters behind it do not count where nobody
 * else has them. */
int zero_marks_count(struct image_writer *w, uint64_t size, const struct watch *watch,
		     struct zero_marks *z, struct err *e);
/* Replaces them by what reads the same. Tables read the same at any time, so that a table is changed
 * where it is, whoever shares it. */
int zero_marks_expand(struct image_writer *w, const struct watch *watch, struct err *e);
