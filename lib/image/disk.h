#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/extent.h"
#include "image/spec.h"

/* What a guest would see: a raw file, or an image with its backing chain. Two verbs:
 * disk_next (what is there) and disk_read (the bytes). */
struct disk;
struct image;

enum disk_flag {
	DISK_NO_BACKING = 1 << 0, /* do not open the chain: ABSENT is what the top layer lacks */
	DISK_HOLES = 1 << 1,	  /* look for holes in the files: DATA there gets reads_zero */
	/* With DISK_HOLES, as programs agree to show them: to the byte (else to the sector), and in
	 * images only where their own file occupies clearly less than its length, as it does
	 * after preallocation of metadata. */
	DISK_HOLES_IF_SPARSE = 1 << 4,
	DISK_NO_DATA_FILE = 1 << 2, /* metadata only: do not open an external data file (reads fail) */
	DISK_LENGTH_ONLY = 1 << 5, /* no bytes of raw layers are wanted: they may be in use */
	DISK_WRITE = 1 << 6,	   /* the top layer will be changed: see image/writer.h */
};

struct disk_options {
	unsigned flags;
	const char *snapshot;	     /* read this internal snapshot (id first, then name), or NULL */
	const char *snapshot_id, *snapshot_name; /* or exactly these (either may be NULL) */
	const struct listener *listener;
	unsigned write_depth;	/* this layer will be changed, too; 0: none but DISK_WRITE says so */
	bool backing_direct;	/* what stands behind the top layer bypasses the page cache, where
				 * that is possible */
	const struct watch *watch; /* stops deriving keys, which may take long */
	unsigned write_flags;	/* FILE_DIRECT, FILE_SYNC_WRITES, FILE_NO_FLUSH of what is changed */
};

/* Opens the image that `s` names, and its chain as policy allows (names found in images are
 * data: never json: or any proto:, relative to the directory of the image that holds them,
 * at most CHAIN_DEPTH_MAX layers, no loops). Locks each file for reading. Encrypted layers are
 * unlocked with the secrets that the specs hold. On failure the text begins
 * "Could not open 'NAME': ". */
struct disk *disk_open(const struct spec *s, const struct disk_options *o, struct err *e);
/* The same for who reads and writes no guest bytes: no secret is needed. */
struct disk *disk_open_metadata(const struct spec *s, const struct disk_options *o,
				struct err *e);
/* What is left for disk_open() to do then. Only for what that function returned. */
int disk_unlock(struct disk *d, const struct watch *watch, struct err *e) MUST_CHECK;
/* NULL is fine. Nothing was written, so nothing can fail. */
void disk_close(struct disk *d);

/* Layer `depth` as a disk of its own, with what stands behind it; NULL past the end of the chain.
 * It belongs to d. */
struct disk *disk_layer(struct disk *d, unsigned depth);

/* Bytes, a multiple of 512 (a raw file's length is rounded up; the tail reads as zeros). */
uint64_t disk_size(const struct disk *d);
enum image_format disk_format(const struct disk *d);
/* The name it was opened by. */
const char *disk_name(const struct disk *d);
/* The open image of layer `depth`, NULL for raw layers and past the end of the chain. */
struct image *disk_image(struct disk *d, unsigned depth);
/* Layers in the chain, at least 1. */
unsigned disk_layers(const struct disk *d);
/* Name of the file that holds the data of layer `depth`: the external data file where there
 * is one, for map's last column. As opened: relative backing names are combined with the
 * directory of the image that names them. */
const char *disk_layer_file(const struct disk *d, unsigned depth);
/* The file of layer `depth` itself, never its data file; NULL past the end of the chain. It
 * belongs to the disk. */
struct file *disk_layer_handle(struct disk *d, unsigned depth);
/* Bytes of layer `depth` as a disk; 0 past the end of the chain. */
uint64_t disk_layer_size(const struct disk *d, unsigned depth);
/* Whether nobody said that layer `depth` is in the format that it is opened as: it was found by
 * looking. What was taken for raw then should not be written to (5.3 of the command-line contract):
 * the next one who looks may find something else. */
bool disk_layer_probed(const struct disk *d, unsigned depth);
/* Whether no other layer uses the file or the data file of layer `depth`. */
bool disk_layer_is_alone(const struct disk *d, unsigned depth);
/* The depth (> 0) of the first layer that the image above it knows by this name: it is stored there
 * just so, or leads to the same file from the directory of that image. 0: there is none. */
int disk_find_layer(struct disk *d, const char *name, unsigned *depth, struct err *e) MUST_CHECK;
/* Whether the top-level files are the same file as `f` (device and inode), any layer, data
 * files included. */
bool disk_uses_file(const struct disk *d, const struct file *f);
/* The same for a file that need not be open, nor exist. A data file that was not opened counts: it
 * is what its name in the header leads to. */
bool disk_uses_path(const struct disk *d, const char *path);

/* The extent that begins at `guest` (< disk size), at most max_len (> 0) bytes of it.
 * Neighbours of one kind with adjoining host offsets are joined within what one L2 table
 * maps; a caller that wants longer runs joins further. In rising order of guest this costs
 * a table read per table. One thread at a time.
 * On failure x->len is set all the same: where to go on for who can do without (1..max_len;
 * 0 where `guest` is outside the disk). */
int disk_next(struct disk *d, uint64_t guest, uint64_t max_len, struct extent *x,
	      struct err *e) MUST_CHECK;
/* The same for the layers above depth_end (> 0) alone: ABSENT is what none of them says anything
 * about. What a shorter layer among them hides from those above it is ZERO. */
int disk_next_above(struct disk *d, unsigned depth_end, uint64_t guest, uint64_t max_len,
		    struct extent *x, struct err *e) MUST_CHECK;

/* Whether the top layer, a qcow2 image, maps nothing and has neither snapshots nor bitmaps. */
int disk_is_blank(struct disk *d, bool *blank, struct err *e) MUST_CHECK;
/* The files of the top layer are not flushed any more. While nobody else uses them. */
void disk_never_flush(struct disk *d);
/* Whether the top layer itself says nothing about n guest bytes, all inside the disk. Any thread. */
int disk_top_is_silent(struct disk *d, uint64_t guest, uint64_t n, bool *silent,
		       struct err *e) MUST_CHECK;

/* Whether two disks that show one image, each as it is or as a snapshot of it, lead to the same
 * clusters from `guest` (inside both) on, as far as pointers tell; the bytes may be equal all the
 * same where they do not. *len: for how many bytes (1..max_len) the answer holds. Two disks of
 * different files are never alike. */
int disk_alike(struct disk *a, struct disk *b, uint64_t guest, uint64_t max_len, bool *alike,
	       uint64_t *len, struct err *e) MUST_CHECK;

/* Per-thread state of a reader: decompression contexts and buffers. */
struct disk_reader;
struct disk_reader *disk_reader_new(struct disk *d, struct err *e);
void disk_reader_free(struct disk_reader *r);

/* Reads n guest bytes, all inside the disk. May run on several threads at once, each with
 * its own reader. */
int disk_read(struct disk_reader *r, uint64_t guest, void *buf, size_t n,
	      struct err *e) MUST_CHECK;
/* Reads the bytes of an extent that disk_next() returned, or a part of it: no mapping is
 * looked up for DATA with a host offset. x must lie inside one extent. */
int disk_read_extent(struct disk_reader *r, const struct extent *x, void *buf,
		     struct err *e) MUST_CHECK;
