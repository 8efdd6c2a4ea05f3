#pragma once
#include "image/resize.h"
#include "image/writer_internal.h"

struct resize {
	struct disk *disk;
	struct image *img;
	struct image_writer *w;
	const struct watch *watch;
	uint64_t old_size, size; /* bytes */
	enum preallocation preallocation;
	uint64_t backing_end; /* a backing file may show below this guest byte */
#define BACKING_END_UNKNOWN UINT64_MAX
	bool bitmaps;	      /* there are some, and they are in force */
	uint64_t host_end;    /* what was mapped without being written lies below this byte */
};

/* The steps of both directions. From resize_begin() on the disk has its new size in memory; the
 * file learns of it with resize_commit_size(). */
int resize_grow(struct resize *z, struct err *e);
int resize_shrink(struct resize *z, struct err *e);
void resize_take_size(struct resize *z);
/* Everything up to here becomes durable, then the header with the new size, in one write with
 * whatever else of it has changed; bitmaps are in force again. */
int resize_commit_size(struct resize *z, struct err *e);

/* Gives up whatever the L2 tables of L1 entries from .. to-1 of the table at l1_off map, and these
 * tables (resize_drop.c). clear: the entries become 0, for they stay in use. */
int resize_drop_tables(struct resize *z, uint64_t l1_off, uint32_t from, uint32_t to, bool clear,
		       struct err *e);
/* Gives up the clusters behind `guest` (whole clusters) that its L2 table maps. */
int resize_drop_entries(struct resize *z, uint64_t guest, struct err *e);

/* Maps what is added: preallocation, and marks where the backing file would show (preallocate.c).
 * All of it is unmapped so far. */
int resize_fill(struct resize *z, struct err *e);
/* Makes the added part of an external data file, which reads as zeros. */
int resize_fill_data_file(struct resize *z, struct err *e);

/* Whether the bitmaps can follow (resize_bitmaps.c). */
int resize_bitmaps_check(struct resize *z, struct err *e);
/* Withdraws the bitmaps and changes them; resize_commit_size() puts them in force again. */
int resize_bitmaps(struct resize *z, struct err *e);

/* Bits and bytes of a bitmap's tables and data (resize_bits.c). */
struct bitmap_entry;
struct bitmap_table_entry;
int resize_word_read(struct resize *z, uint64_t off, uint64_t *raw, struct err *e);
int resize_word_write(struct resize *z, uint64_t off, uint64_t raw, struct err *e);
int resize_zeros_edit(struct resize *z, uint64_t off, uint64_t len, struct err *e);
bool resize_can_follow(const struct resize *z, const struct bitmap_table_entry *x);
/* Clears the bits behind the first `bits`, in the cluster that these end in. */
int resize_bits_cut(struct resize *z, const struct bitmap_entry *x, uint64_t bits, struct err *e);
/* Sets bits first .. end-1, all of them in the table; what can't be followed stays. */
int resize_bits_set(struct resize *z, const struct bitmap_entry *x, uint64_t first, uint64_t end,
		    struct err *e);
