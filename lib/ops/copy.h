#pragma once
#include <stdatomic.h>

#include "base/watch.h"
#include "image/bitmaps.h"
#include "image/builder.h"
#include "image/packer.h"
#include "image/target.h"
#include "ops/convert.h"
#include "work/ring.h"

/* The engine of convert, commit and rebase. The guest range is cut into jobs; a job is filled with the extents
 * that hold data (copy_plan.c), read and judged (copy_work.c, copy_picked.c), given its place in
 * order and written (copy_raw.c, copy_qcow2.c, copy_into.c). See "how data flows" in lib/README. */

struct copy_piece {
	struct extent x;	/* as the source counts */
	unsigned source;
	size_t at;		/* offset in the job's buffer */
	bool lost;		/* salvage: zeros because the lookup failed */
};

/* Bytes of the job's buffer that go to one place of the target file. */
struct copy_place {
	size_t at, len;
	uint64_t host;
};

/* Salvage: guest bytes, as the target counts, that became zeros. There may be any number of
 * them before a job, but warnings about them are few: the last loss takes in what the list has
 * no room for. */
#define COPY_LOSSES_MAX 8
struct copy_losses {
	struct copy_loss {
		uint64_t guest, end; /* first byte; behind the last one */
		uint64_t len;	     /* how many of them are lost: all, or some */
	} item[COPY_LOSSES_MAX];
	unsigned nr;
};

struct copy_slot {
	uint64_t guest;		/* as the target counts; on the copy's grid */
	size_t len;		/* on the grid, except at the end of the disk */
	uint64_t zero_len;	/* not 0: no data, only zeros to be entered, this many bytes */
	struct copy_piece *pieces;
	size_t piece_nr;
	uint8_t *in;		/* the bytes, zeros behind the end of the disk */
	uint8_t *out;		/* packed clusters, each at the offset of its original */
	uint8_t *step_state;	/* enum copy_state per step */
	uint32_t *packed_len;	/* per cluster; 0: not packed */
	struct copy_place *places;
	size_t place_nr;
	struct copy_losses losses; /* in the job, and in what was passed over before it */
};

/* Which bytes are copied. Where not all are, the target keeps the others as they are, unit by
 * unit. */
enum copy_pick {
	COPY_ALL,
	COPY_ABOVE,	/* what the layers above depth_end say */
	COPY_DIRTY,	/* what a bitmap of the only source says */
	COPY_BELOW_TOP, /* what the top layer does not say, however it reads, unless a layer from
			 * depth_end on says it */
};

enum copy_state { COPY_SKIP, COPY_ZERO, COPY_DATA };

/* COPY_DIRTY: the bitmap, and what it said last: that from guest byte `looked` on the first dirty
 * bytes are start .. end-1. */
struct copy_dirty {
	struct bitmap_set set;
	struct bitmap *bitmap;
	uint64_t looked, start, end;
};

struct copy_worker {
	struct disk_reader **readers; /* per source */
	struct disk_reader *other;    /* what is compared with */
	struct disk_reader *into;     /* of c->into, if there is one */
	uint8_t *other_bytes;	      /* room for copy_chunk() bytes */
	struct packer *packer;
};

struct copy {
	const struct convert_options *o;
	uint64_t total;		/* bytes of the target disk */
	uint64_t window;	/* bytes that the sources give to it; the rest is zeros */
	uint64_t *starts;	/* where each source begins in the concatenation; source_nr + 1 */
	struct target *target;
	struct builder *builder; /* a new qcow2 image */
	struct image_writer *writer; /* a qcow2 image that exists */
	struct disk *into;	/* convert -n: the disk of that image. What the source does not have
				 * stays there, also where it shares a unit with what is copied */
	atomic_uint unwritten;	/* writer: jobs whose data has its place and is not there yet */
	struct disk *other;	/* bytes that it holds as well are not copied; NULL: none */
	bool dry;		/* COPY_BELOW_TOP: nothing is written, it is only counted */
	uint64_t data_len, zero_len; /* COPY_BELOW_TOP: bytes that are copied, that become zeros */

	size_t job_max;		/* bytes; a multiple of grid */
	uint64_t grid;		/* jobs begin and end on multiples of this */
	uint64_t unit;		/* smallest thing that the target can map; divides grid */
	size_t step;		/* zeros are looked for in steps of this; divides unit */
	enum copy_pick pick;
	uint64_t shown_end;	/* COPY_ABOVE: zeros before this, where no layer that is left out reaches,
				 * have to be said: the target may show something else */
	unsigned depth_end;	/* COPY_ABOVE, COPY_BELOW_TOP: layers from here on are left out */
	struct copy_dirty dirty;
	bool enter_zeros;	/* zeros must be said aloud, they are not there by themselves */
	bool unmap_zeros;	/* space behind zeros that are entered is given back */

	uint64_t pos;		/* fill: what comes next, as the target counts */
	struct extent pending;	/* fill: the extent at pos; len 0: ask */
	bool pending_lost;	/* fill: its lookup failed */
	struct copy_losses losses; /* fill: behind the last job */
	unsigned source;	/* fill: whose */
	uint64_t started_ns;	/* fill: for the rate limit */
	uint64_t filled;	/* fill: bytes handed out */
};

int copy_fill(void *ctx, void *slot, struct err *e);
int copy_work(void *ctx, void *worker, void *slot, struct err *e);
int copy_raw_settle(struct copy *c, struct copy_slot *s, struct err *e);
int copy_raw_finish(struct copy *c, struct copy_slot *s, struct err *e);
int copy_qcow2_settle(struct copy *c, struct copy_slot *s, struct err *e);
int copy_qcow2_finish(struct copy *c, struct copy_slot *s, struct err *e);
int copy_into_settle(struct copy *c, struct copy_slot *s, struct err *e);
int copy_into_finish(struct copy *c, struct copy_slot *s, struct err *e);
int copy_dry_settle(struct copy *c, struct copy_slot *s);

/* Where not all is copied (copy_picked.c): reads what is, and judges it. */
int copy_picked_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, struct err *e);
size_t copy_chunk(const struct copy *c);
void copy_count(struct copy *c, const struct copy_slot *s);
/* Reads bytes at .. at+len-1 of the job as the guest sees them. */
int copy_range_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
		    size_t len, struct err *e);
/* The same of what the target has there; only with c->into. */
int copy_into_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
		   size_t len, struct err *e);

/* The state of the unit that begins at `at`: data if any step of it is. */
enum copy_state copy_unit_state(const struct copy *c, const struct copy_slot *s, size_t at);

/* Runs a copy whose `o`, `target` or `writer`, pick, depth_end and other are set: the sources'
 * whole lengths, or what o says of them. Nothing is made durable here. */
int copy_begin(struct copy *c, struct err *e) MUST_CHECK;
int copy_run(struct copy *c, struct err *e) MUST_CHECK;
void copy_end(struct copy *c);
/* After a copy_run() that failed with `e`: if it was asked to stop, all that was given a place is there,
 * and nothing has failed; then the target is finished as it is, and its bitmaps tell of what was copied.
 * After any other failure they stay in use. */
void copy_finish_stopped(struct copy *c, const struct err *e);

/* Loads the bitmap that o->dirty_only names, if it does, and makes c->pick COPY_DIRTY. After
 * copy_begin(). (copy_dirty.c) */
int copy_dirty_begin(struct copy *c, struct err *e) MUST_CHECK;
void copy_dirty_end(struct copy *c);
/* Makes c->pending the extent at `guest` (< disk size). On failure its len is how much was looked
 * at, or 0. */
int copy_dirty_look(struct copy *c, struct disk *disk, uint64_t guest, uint64_t rest,
		    struct err *e) MUST_CHECK;

/* Puts the name of the source or target that failed in front; NULL: nothing. Returns -1. */
int copy_failed_at(const char *name, struct err *e);

/* Writes those steps of slot->in[at .. at+len) that hold data, at `host` of the target. */
typedef int copy_write_fn(struct copy *c, uint64_t guest, uint64_t host, void *buf, size_t n,
			  struct err *e);
int copy_write_steps(struct copy *c, const struct copy_slot *s, size_t at, size_t len,
		     uint64_t host, copy_write_fn *write, struct err *e);
/* What all kinds of targets do when a job is settled: progress and salvage warnings. */
void copy_settled(struct copy *c, const struct copy_slot *s);

/* One more range that is lost. */
void copy_losses_add(struct copy_losses *l, uint64_t guest, uint64_t len);
void copy_losses_warn(const struct copy *c, const struct copy_losses *l);
/* Reads sector by sector, into s->in[at .. at+range), what could not be read in one go. */
void copy_salvage(struct disk_reader *r, struct copy_slot *s, uint64_t guest, size_t at,
		  uint64_t range);
