#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/watch.h"
#include "format/header.h"
#include "image/disk.h"

/* Guest writes into an existing image, in place and by copy-on-write. Content that is not written
 * comes from where the disk has it: the old cluster, the backing file, zeros. What is written is
 * seen by disk_read() at once and becomes durable, as a whole or by parts that are each old or new,
 * with image_writer_finish() at the latest. One thread. */
struct image_writer;

/* `d`: a disk, or a layer of one, whose top image was opened for writing; borrowed. Nothing in the
 * file changes before the first write, but that an image with the dirty bit is made safe: counts
 * are raised and false claims cleared, with one warning. */
struct image_writer *image_writer_new(struct disk *d, const struct listener *l,
				      const struct watch *w, struct err *e);
/* Forgets what image_writer_finish() has not made durable. NULL is fine. */
void image_writer_free(struct image_writer *w);

/* Whether refcounts cover what the disk and its snapshots refer to, and none of that lies on other
 * metadata: for who is about to take or to give up much, before the first change. One pass over all
 * tables; ERR_CORRUPT if not, or if something cannot be followed. */
int image_writer_counts_check(struct image_writer *w, const struct watch *watch,
			      struct err *e) MUST_CHECK;

/* For who takes a few clusters and is not worth such a pass, or a refusal: where refcounts are wrong, which
 * is warned of, or where much would have to be read, clusters come from behind the end of the file, where
 * they are nobody's; on a device it is refused. Before the first change. */
int image_writer_few_check(struct image_writer *w, const struct watch *watch,
			   struct err *e) MUST_CHECK;

uint64_t image_writer_cluster_size(const struct image_writer *w);
/* Smallest unit that the L2 tables can tell apart: a cluster, or a subcluster. */
uint64_t image_writer_unit(const struct image_writer *w);
/* The image is about to get a backing file: zeros must be said from now on, even where nothing
 * shows through yet. */
void image_writer_expect_backing(struct image_writer *w);
/* Space that becomes free is given back to the file system. */
void image_writer_punch(struct image_writer *w);

/* n guest bytes, inside the disk. */
int image_write(struct image_writer *w, uint64_t guest, const void *buf, size_t n,
		struct err *e) MUST_CHECK;
/* The same in two parts, for whole clusters: places for some of the nr (> 0) clusters at `guest`,
 * contiguous from *host on. The caller writes all *done bytes there with image_writer_put(), which
 * any thread may do, before the next image_writer_relax() or _finish(). Where the image is encrypted,
 * buf holds anything afterwards. */
int image_assign(struct image_writer *w, uint64_t guest, uint64_t nr, uint64_t *host,
		 uint64_t *done, struct err *e) MUST_CHECK;
int image_writer_put(struct image_writer *w, uint64_t guest, uint64_t host, void *buf, size_t n,
		     struct err *e) MUST_CHECK;
/* The cluster at `guest` (a whole one, but that the last one of the disk may be shorter) becomes the
 * n packed bytes (1..cluster size - 1) of a packer for image_writer_compression(). */
int image_write_packed(struct image_writer *w, uint64_t guest, const void *packed, uint32_t n,
		       struct err *e) MUST_CHECK;
/* Whether it refuses packed clusters because the image is encrypted. */
bool image_writer_encrypts(const struct image_writer *w);
enum compression_type image_writer_compression(const struct image_writer *w);
/* Makes guest bytes read as zeros, by marks in the tables where that is possible (11.2). unmap:
 * host clusters behind them are given up. */
int image_write_zeros(struct image_writer *w, uint64_t guest, uint64_t len, bool unmap,
		      struct err *e) MUST_CHECK;
/* Gives up whole clusters (11.3); parts of clusters stay. They read as zeros afterwards; in a
 * version 2 image with a backing file nothing happens. */
int image_discard(struct image_writer *w, uint64_t guest, uint64_t len,
		  struct err *e) MUST_CHECK;
/* Whether data that was assigned is still to be written: while it is, nothing is committed by the
 * way, whatever waits. */
void image_writer_hold(struct image_writer *w, bool hold);
/* Commits if much waits; whether it does. */
bool image_writer_is_full(struct image_writer *w);
int image_writer_relax(struct image_writer *w, struct err *e) MUST_CHECK;
/* Everything is durable when this returns 0. More may be written afterwards. */
int image_writer_finish(struct image_writer *w, struct err *e) MUST_CHECK;

/* The backing file of the image becomes the one of this name and format, stored as they are; NULL:
 * there is none. Last of all that was written, in one step, and durable; nothing is written through
 * w afterwards. What bitmaps say stays true where nothing else was written. */
int image_writer_rename_backing(struct image_writer *w, const char *name, const char *format,
				struct err *e) MUST_CHECK;
/* Refuses what that would refuse: a header that does not fit, an image that may have none. */
int image_rename_backing_check(const struct image *img, const char *name, const char *format,
			       struct err *e) MUST_CHECK;
