#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "image/builder.h"
#include "image/internal.h"
#include "image/layout.h"

/* Small writes that follow each other in the file become large ones. */
#define GATHER_ROOM ((size_t)1 << 20)
struct gather {
	struct file *file;
	uint8_t *bytes; /* GATHER_ROOM */
	uint64_t off;	/* place of bytes[0] */
	size_t len;
};

int gather_init(struct gather *g, struct file *f, struct err *e);
void gather_fini(struct gather *g);
/* Puts n bytes at `off`; they reach the file at the latest with gather_flush(). */
int gather_put(struct gather *g, uint64_t off, const void *p, size_t n, struct err *e);
int gather_flush(struct gather *g, struct err *e);

/* The append-only allocator of a builder: a cursor, the refcount block under it, and the lane
 * in which compressed clusters are packed. */
struct host_space {
	struct file *file;
	const struct geom *geom;
	uint64_t cursor;	/* next free host cluster */
	uint8_t *block;		/* counts of the range that the cursor is in */
	uint64_t block_idx;	/* which range that is */
	uint64_t *table;	/* refcount table so far: places of blocks 0..block_idx-1 */
	size_t table_room;
	struct gather lane;
	uint64_t lane_end;	/* host byte behind the last packed item; 0: no lane is open */
};

int host_space_init(struct host_space *s, struct file *f, const struct geom *g, struct err *e);
void host_space_fini(struct host_space *s);
/* Takes between 1 and want clusters that adjoin; *nr tells how many. */
int host_space_take(struct host_space *s, uint64_t want, uint64_t *first, uint64_t *nr,
		    struct err *e);
/* Takes nr clusters in a row, however many ranges of refcount blocks they touch. Before anything was
 * packed. */
int host_space_take_all(struct host_space *s, uint64_t nr, uint64_t *first, struct err *e);
/* Stores n packed bytes in the lane (1..cluster size - 1) and counts the clusters they touch. */
int host_space_pack(struct host_space *s, const void *p, uint32_t n, uint64_t *host,
		    struct err *e);
/* Writes what is left: the last blocks, the refcount table, and room for `tail` clusters in a row (the
 * L1 table, which the caller writes: the file ends with its last byte). Nothing can be taken
 * afterwards. */
struct host_tail {
	uint64_t tail_off, table_off;
	uint64_t table_clusters;
};
int host_space_finish(struct host_space *s, uint64_t tail, struct host_tail *t, struct err *e);

struct builder {
	struct file *file, *data_file; /* data_file: owned, or NULL */
	bool data_file_made;	       /* it goes again unless the image is finished */
	struct create_options options;
	struct geom geom;
	bool fixed;	/* everything has its place in the layout; nothing is appended */
	bool mapped;	/* fixed, and all guest clusters have a host cluster from the start */
	struct layout layout;
	struct host_space space; /* append mode */
	struct gather tables;	 /* fixed mode: metadata, in file order */

	struct image_cipher cipher;
	uint64_t luks_off, luks_len; /* bytes; luks_len 0: no LUKS header */

	uint64_t l1_nr;
	uint64_t *l1;	/* append mode: host offsets of L2 tables, 0 = none */
	uint8_t *l2;	/* the table under construction */
	uint64_t l2_idx; /* whose it is: index into the L1 table */
	bool l2_used;	/* something was entered into it */
};

/* `fixed`: an empty or preallocated image, laid out beforehand; else whatever the options ask
 * for. */
struct builder *builder_make(struct file *f, const struct create_options *o, bool fixed,
			     struct err *e);
/* The L2 table under construction: makes it what it is before anything is entered, and puts it
 * in its place when it is final. */
void builder_l2_init(struct builder *b);
int builder_l2_close(struct builder *b, struct err *e);
/* Writes zeros, as a guest sees them, at assigned places of an encrypted image. */
int builder_write_zeros(struct builder *b, uint64_t guest, uint64_t host, uint64_t len,
			struct err *e);
/* The header fields that follow from the options alone. */
void create_header(const struct create_options *o, struct header *h);
/* Opens, locks and empties the external data file of a new image, if it is to have one; *made:
 * it did not exist before. On failure *out may be set and is the caller's to drop. */
int create_data_file(struct file *image, const struct create_options *o, struct file **out,
		     bool *made, struct err *e);
