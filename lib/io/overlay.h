#pragma once
#include "io/file_internal.h"

/* Writes to a file that stay in memory, in blocks; reads see them. What becomes of them is for the
 * back ends over it to say: file_plan.c lists them, file_undo.c stores them once the bytes that they
 * replace are kept. */

#define OVERLAY_BLOCK ((size_t)4096)

struct overlay_block {
	uint64_t nr; /* its place in the file, in blocks */
	uint8_t bytes[OVERLAY_BLOCK];
};

struct overlay {
	struct file file;   /* first; its size is the one to be */
	struct file *inner; /* owned, unless it was lent */
	bool lent;
	pthread_mutex_t lock; /* guards everything below */
	struct overlay_block **slots; /* by hash, NULL where there is none; slot_nr is a power of 2 */
	size_t slot_nr, nr, max;
	uint64_t low; /* bytes of the inner file that count; behind them it reads as zeros */
	/* Called with the lock held when `max` blocks are there: makes room, or fails. */
	int (*full)(struct overlay *o, struct err *e);
};

/* Sets up all but file.ops. The overlay may be written even if the inner file may not. */
int overlay_init(struct overlay *o, struct file *inner, size_t max,
		 int (*full)(struct overlay *o, struct err *e), struct err *e) MUST_CHECK;
/* Frees what is in it. The inner file is the caller's to close. */
void overlay_fini(struct overlay *o);

/* For file_ops. Discards are not done at all, zeros are written. */
int overlay_read(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		 struct err *e) MUST_CHECK;
int overlay_write(struct file *f, uint64_t off, const void *buf, size_t n,
		  struct err *e) MUST_CHECK;
int overlay_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
		 struct err *e) MUST_CHECK;
void overlay_discard(struct file *f, uint64_t off, uint64_t len);
int overlay_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e) MUST_CHECK;
int overlay_truncate(struct file *f, uint64_t size, struct err *e) MUST_CHECK;
int overlay_resample(struct file *f, struct err *e) MUST_CHECK;
bool overlay_next_data(struct file *f, uint64_t off, uint64_t *data, uint64_t *hole);

/* Makes blocks of what was cut off, and reads as zeros since the file grew again. With the lock
 * held. */
int overlay_show_cut(struct overlay *o, struct err *e) MUST_CHECK;
/* The blocks in the order of the file; an array of o->nr, to be freed. With the lock held. */
struct overlay_block **overlay_sorted(const struct overlay *o, struct err *e);
/* Forgets all blocks, and that the file was cut. With the lock held. */
void overlay_clear(struct overlay *o);
