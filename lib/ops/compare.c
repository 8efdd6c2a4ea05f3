#include "ops/compare.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "image/image.h"
#include "work/ring.h"

/* One walk over both disks at once cuts the guest bytes into jobs within which each disk has
 * one kind of extent; ranges that are known to be zeros on both sides make no job. Workers
 * read and compare. Everything that ends the comparison early, failures included, travels
 * in its job and is judged when the jobs are settled, in guest order: that is what makes the
 * answer independent of timing. */

#define SIDES 2
/* Large enough that handing a job to a worker costs little. A compressed cluster is inflated as
 * a whole, so jobs must not cut through one: multiples of the largest cluster size never do. */
#define JOB_BYTES CLUSTER_SIZE_MAX
/* Two buffers of this size stay in the caches, so bytes are compared while they are hot; less
 * would mean more system calls. */
#define PIECE_BYTES (UINT64_C(1) << 20)
#define BUFFER_ALIGN	 4096
#define WORKERS_MAX	 16
#define SLOTS_A_WORKER	 4

struct job {
	uint64_t guest, len;
	struct extent x[SIDES]; /* exactly these bytes of each side */
	enum compare_answer answer;
	uint64_t offset; /* unless SAME */
	enum compare_step step;
	struct err e; /* why that step failed, if it did */
};

struct reader {
	struct disk_reader *disk[SIDES];
	uint8_t *buf[SIDES];
};

struct compare {
	struct disk *disk[SIDES];
	struct extent x[SIDES]; /* fill: the extents around `at` */
	uint64_t at;		/* fill: the next guest byte to look at */
	bool dry;		/* fill: the job that was filled last ends it all */
	uint64_t size, common;	/* of the longer and of the shorter disk */
	bool strict;
	const struct watch *watch;
	atomic_bool decided; /* settle knows the answer: what comes later does not count */
	struct job first;    /* settle: the job that decided */
};

/* Whether any layer says what is there. Where a backing file has ended early, the layer
 * above it is what makes the rest zeros. */
static bool is_allocated(struct disk *d, const struct extent *x)
{
	return x->kind != EXTENT_ABSENT || x->depth + 1u < disk_layers(d);
}

static bool holds_data(const struct extent *x)
{
	return x->kind == EXTENT_DATA || x->kind == EXTENT_PACKED;
}

static bool same_allocation(const struct compare *c, const struct extent x[SIDES])
{
	return is_allocated(c->disk[0], &x[0]) == is_allocated(c->disk[1], &x[1]) &&
	       holds_data(&x[0]) == holds_data(&x[1]) &&
	       x[0].reads_zero == x[1].reads_zero && x[0].has_host == x[1].has_host;
}

/* The extent of one side around c->at. What lies past the end of a disk reads as zeros. */
static int side_extent(struct compare *c, int side, struct err *e)
{
	struct extent *x = &c->x[side];
	uint64_t size = disk_size(c->disk[side]);

	if (c->at < x->guest + x->len)
		return 0;
	if (c->at < size) {
		if (disk_next(c->disk[side], c->at, size - c->at, x, e) < 0)
			return err_ctx(e, "the map of '%s'", disk_name(c->disk[side]));
		return 0;
	}
	*x = (struct extent){ .guest = c->at, .len = c->size - c->at,
			      .kind = EXTENT_ABSENT, .reads_zero = true };
	return 0;
}

/* The part of an extent that begins at `guest`. */
static struct extent extent_from(const struct extent *x, uint64_t guest, uint64_t len)
{
	struct extent part = *x;

	part.guest = guest;
	part.len = len;
	part.host += x->has_host ? guest - x->guest : 0;
	return part;
}

/* Takes the next piece of both extents off the walk. */
static void job_cut(struct compare *c, struct job *j)
{
	const struct extent *x = c->x;
	uint64_t end = MIN(x[0].guest + x[0].len, x[1].guest + x[1].len);

	if (!x[0].reads_zero || !x[1].reads_zero)
		end = MIN(end, align_down(c->at, JOB_BYTES) + JOB_BYTES);
	j->guest = c->at;
	j->len = end - c->at;
	for (int side = 0; side < SIDES; side++)
		j->x[side] = extent_from(&x[side], j->guest, j->len);
	c->at = end;
}

/* Fills the job with the next range that must be read. 0: there is none. */
static int job_find(struct compare *c, struct job *j, struct err *e)
{
	while (c->at < c->size && !atomic_load(&c->decided)) {
		if (watch_stopped(c->watch, e) < 0 || side_extent(c, 0, e) < 0 ||
		    side_extent(c, 1, e) < 0)
			return -1;
		job_cut(c, j);
		if (c->strict && !same_allocation(c, j->x)) {
			j->answer = COMPARE_ALLOCATION;
			j->offset = j->guest;
			c->dry = true;
			return 1;
		}
		if (!j->x[0].reads_zero || !j->x[1].reads_zero)
			return 1;
	}
	return 0;
}

static int job_fill(void *ctx, void *slot, struct err *e)
{
	struct compare *c = ctx;
	struct job *j = slot;
	int ret;

	(void)e;
	if (c->dry)
		return 0;
	*j = (struct job){ .answer = COMPARE_SAME, .step = COMPARE_MAPPING };
	ret = job_find(c, j, &j->e);
	if (ret >= 0)
		return ret;
	c->dry = true;
	return 1;
}

/* Offset of the first sector that differs; b == NULL stands for zeros. Sectors are the
 * disk's, wherever the job begins. The caller knows that there is one. */
static uint64_t first_difference(uint64_t guest, const uint8_t *a, const uint8_t *b,
				 size_t n)
{
	size_t len;

	for (size_t i = 0; i < n; i += len) {
		len = MIN(SECTOR_SIZE - (guest + i) % SECTOR_SIZE, n - i);
		if (b ? memcmp(a + i, b + i, len) != 0 : !bytes_are_zero(a + i, len))
			return align_down(guest + i, SECTOR_SIZE);
	}
	return align_down(guest, SECTOR_SIZE);
}

static int piece_read(const struct compare *c, struct reader *r, struct job *j,
		      uint64_t guest, uint64_t len)
{
	for (int side = 0; side < SIDES; side++) {
		struct extent x = extent_from(&j->x[side], guest, len);

		if (x.reads_zero)
			continue;
		if (disk_read_extent(r->disk[side], &x, r->buf[side], &j->e) < 0)
			return err_ctx(&j->e, "reading %llu bytes at offset %llu of '%s'",
				       (unsigned long long)len, (unsigned long long)guest,
				       disk_name(c->disk[side]));
	}
	return 0;
}

static bool is_packed(const struct job *j)
{
	return j->x[0].kind == EXTENT_PACKED || j->x[1].kind == EXTENT_PACKED;
}

/* Reads and compares one side with the other, or the only one that may hold something with
 * zeros. */
static void job_compare(const struct compare *c, struct reader *r, struct job *j)
{
	bool zero[SIDES] = { j->x[0].reads_zero, j->x[1].reads_zero };
	const uint8_t *a = r->buf[zero[0] ? 1 : 0];
	const uint8_t *b = zero[0] || zero[1] ? NULL : r->buf[1];
	uint64_t end = j->guest + j->len, step = is_packed(j) ? j->len : PIECE_BYTES, len;

	for (uint64_t at = j->guest; at < end; at += len) {
		len = MIN(step, end - at);
		if (piece_read(c, r, j, at, len) < 0)
			return;
		if (b ? memcmp(a, b, len) == 0 : bytes_are_zero(a, len))
			continue;
		j->answer = COMPARE_CONTENT;
		j->offset = first_difference(at, a, b, len);
		return;
	}
}

static int job_work(void *ctx, void *worker, void *slot, struct err *e)
{
	const struct compare *c = ctx;
	struct job *j = slot;

	(void)e;
	if (err_is(&j->e) || j->answer != COMPARE_SAME || atomic_load(&c->decided))
		return 0;
	j->step = COMPARE_READING;
	job_compare(c, worker, j);
	return 0;
}

static int job_settle(void *ctx, void *slot, struct err *e)
{
	struct compare *c = ctx;
	const struct job *j = slot;

	(void)e;
	if (atomic_load(&c->decided))
		return 0;
	if (j->answer != COMPARE_SAME || err_is(&j->e)) {
		c->first = *j;
		atomic_store(&c->decided, true);
		return 0;
	}
	watch_progress(c->watch, j->guest + j->len, c->size);
	return 0;
}

static void reader_free(struct reader *r)
{
	if (!r)
		return;
	for (int side = 0; side < SIDES; side++) {
		disk_reader_free(r->disk[side]);
		free(r->buf[side]);
	}
	free(r);
}

static struct reader *reader_new(const struct compare *c, struct err *e)
{
	struct reader *r = calloc(1, sizeof *r);

	if (!r) {
		err_nomem(e);
		return NULL;
	}
	for (int side = 0; side < SIDES; side++) {
		r->disk[side] = disk_reader_new(c->disk[side], e);
		r->buf[side] = aligned_alloc(BUFFER_ALIGN, JOB_BYTES);
		if (r->disk[side] && r->buf[side])
			continue;
		err_nomem(e);
		reader_free(r);
		return NULL;
	}
	return r;
}

static int jobs_run(struct compare *c, unsigned workers, struct err *e)
{
	struct job *jobs = calloc((size_t)workers * SLOTS_A_WORKER, sizeof *jobs);
	void *slot[WORKERS_MAX * SLOTS_A_WORKER], *worker[WORKERS_MAX] = { NULL };
	int ret = -1;

	if (!jobs) {
		err_nomem(e);
		goto out;
	}
	for (unsigned i = 0; i < workers * SLOTS_A_WORKER; i++)
		slot[i] = &jobs[i];
	for (unsigned i = 0; i < workers; i++) {
		worker[i] = reader_new(c, e);
		if (!worker[i])
			goto out;
	}
	const struct ring_ops ops = { job_fill, job_work, job_settle, NULL };
	const struct ring_config config = {
		.workers = workers, .slots = workers * SLOTS_A_WORKER,
		.slot = slot, .worker = worker, .ctx = c, .ops = &ops,
	};

	ret = ring_run(&config, e);
out:
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		reader_free(worker[i]);
	free(jobs);
	return ret;
}

/* Threads for a disk that is read in one go would cost more than they save. */
static unsigned worker_count(const struct compare *c, unsigned wanted)
{
	uint64_t useful = div_up(c->size, JOB_BYTES);
	uint64_t nr = wanted ? wanted : ring_processors();

	nr = MIN(nr, MIN(useful, WORKERS_MAX));
	return nr ? (unsigned)nr : 1;
}

int compare_disks(struct disk *a, struct disk *b, const struct compare_options *o,
		  const struct watch *w, struct compare_result *r, struct err *e)
{
	uint64_t size[SIDES] = { disk_size(a), disk_size(b) };
	struct compare c = {
		.disk = { a, b },
		.size = MAX(size[0], size[1]),
		.common = MIN(size[0], size[1]),
		.strict = o->strict,
		.watch = w,
	};

	*r = (struct compare_result){ .step = COMPARE_MAPPING };
	if (o->strict && size[0] != size[1]) {
		r->answer = COMPARE_SIZE;
		return 0;
	}
	watch_progress(w, 0, c.size);
	if (jobs_run(&c, worker_count(&c, o->workers), e) < 0)
		return -1;

	r->tail = size[0] != size[1];
	if (!c.decided) {
		watch_progress(w, c.size, c.size);
		return 0;
	}
	r->answer = c.first.answer;
	r->offset = c.first.offset;
	r->step = c.first.step;
	r->tail = r->tail && c.first.guest >= c.common;
	if (!err_is(&c.first.e))
		return 0;
	*e = c.first.e;
	return -1;
}
