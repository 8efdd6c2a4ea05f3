/* What a copy needs before its first job, and its workers. */
#include "ops/copy.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/text.h"
#include "image/image.h"
#include "image/writer.h"

/* Large enough that a request costs little beside its bytes, small enough that a worker's
 * buffer stays in its cache. */
#define JOB_BYTES     ((uint64_t)512 << 10)
#define STEP_MAX      4096
#define WORKERS_MAX   16
/* What a copy may take, of which the rest goes to tables and other things. */
#define MEMORY_BASE	  ((uint64_t)40 << 20)
#define MEMORY_FOR_WORKER ((uint64_t)8 << 20)

int copy_begin(struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;
	uint64_t sum = 0;

	c->starts = calloc(o->source_nr + 1, sizeof *c->starts);
	if (!c->starts)
		return err_nomem(e);
	for (unsigned i = 0; i < o->source_nr; i++) {
		c->starts[i] = sum;
		sum += disk_size(o->sources[i]);
		if (sum > FILE_OFFSET_MAX - SECTOR_SIZE)
			return err_set(e, ERR_INVALID,
				       "the sources are too large together");
	}
	c->starts[o->source_nr] = sum;
	c->window = o->skip < sum ? MIN(o->count, sum - o->skip) : 0;
	c->total = align_up(c->window, SECTOR_SIZE);
	return 0;
}

/* Sizes of jobs, units and steps, from what the target can map. */
static void grid_plan(struct copy *c)
{
	const struct convert_options *o = c->o;

	c->grid = c->unit = STEP_MAX;
	if (c->builder) {
		c->grid = builder_cluster_size(c->builder);
		c->unit = o->compress ? c->grid : builder_unit(c->builder);
	} else if (c->pick == COPY_BELOW_TOP) {
		/* What is to be packed is judged in small units all the same. */
		c->grid = geom_cluster_size(image_geom(disk_image(o->sources[0], 0)));
		c->unit = image_unit(disk_image(o->sources[0], 0));
	} else if (c->writer) {
		c->grid = image_writer_cluster_size(c->writer);
		c->unit = o->compress ? c->grid : image_writer_unit(c->writer);
	}
	c->step = (size_t)MIN(c->unit, STEP_MAX);
	/* What stays in the target is looked for step by step. */
	if (c->into && c->pick == COPY_ABOVE && disk_image(o->sources[0], 0))
		c->step = (size_t)MIN(c->step, image_unit(disk_image(o->sources[0], 0)));
	if (o->sparse && o->sparse < c->step)
		c->step = SECTOR_SIZE;
	c->job_max = (size_t)MAX(c->grid, JOB_BYTES);
	c->enter_zeros = c->pick != COPY_ALL || (o->no_create && !o->target_is_zero);
}

static void slot_free(struct copy_slot *s)
{
	if (!s)
		return;
	free(s->pieces);
	free(s->in);
	free(s->out);
	free(s->step_state);
	free(s->packed_len);
	free(s->places);
	free(s);
}

static struct copy_slot *slot_new(const struct copy *c)
{
	struct copy_slot *s = calloc(1, sizeof *s);
	size_t steps = c->job_max / c->step, units = c->job_max / c->unit;

	if (!s)
		return NULL;
	/* Extents are whole sectors; those at both ends of the window may be less. */
	s->pieces = calloc(c->job_max / SECTOR_SIZE + 3, sizeof *s->pieces);
	s->in = aligned_alloc(4096, align_up(c->job_max, 4096));
	s->out = c->o->compress ? malloc(c->job_max) : NULL;
	s->step_state = calloc(steps, 1);
	s->packed_len = calloc(c->job_max / c->grid, sizeof *s->packed_len);
	s->places = calloc(units, sizeof *s->places);
	if (!s->pieces || !s->in || (c->o->compress && !s->out) || !s->step_state ||
	    !s->packed_len || !s->places) {
		slot_free(s);
		return NULL;
	}
	return s;
}

static void worker_free(const struct copy *c, struct copy_worker *w)
{
	if (!w)
		return;
	for (unsigned i = 0; w->readers && i < c->o->source_nr; i++)
		disk_reader_free(w->readers[i]);
	free(w->readers);
	disk_reader_free(w->other);
	disk_reader_free(w->into);
	free(w->other_bytes);
	packer_free(w->packer);
	free(w);
}

static enum compression_type copy_compression(const struct copy *c)
{
	return c->writer ? image_writer_compression(c->writer) : c->o->create.compression;
}

static struct copy_worker *worker_new(const struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;
	struct copy_worker *w = calloc(1, sizeof *w);

	if (!w || !(w->readers = calloc(o->source_nr, sizeof *w->readers))) {
		err_nomem(e);
		goto out;
	}
	for (unsigned i = 0; i < o->source_nr; i++)
		if (!(w->readers[i] = disk_reader_new(o->sources[i], e)))
			goto out;
	if (c->pick == COPY_BELOW_TOP &&
	    !(w->other_bytes = aligned_alloc(4096, copy_chunk(c)))) {
		err_nomem(e);
		goto out;
	}
	if ((c->other && !(w->other = disk_reader_new(c->other, e))) ||
	    (c->into && !(w->into = disk_reader_new(c->into, e))))
		goto out;
	if (!o->compress ||
	    (w->packer = packer_new((size_t)c->grid, copy_compression(c), o->level, e)))
		return w;
out:
	worker_free(c, w);
	return NULL;
}

/* Who failed is said here, where it is known; the caller knows only that the copy did. */
int copy_failed_at(const char *name, struct err *e)
{
	char shown[256];

	if (!name)
		return -1;
	return err_ctx(e, "%s", text_escape(name, strlen(name), shown, sizeof shown));
}

static int copy_settle(void *ctx, void *slot, struct err *e)
{
	struct copy *c = ctx;
	int ret = c->builder  ? copy_qcow2_settle(c, slot, e)
		  : c->writer ? copy_into_settle(c, slot, e)
		  : c->dry    ? copy_dry_settle(c, slot)
			      : copy_raw_settle(c, slot, e);

	return ret < 0 ? copy_failed_at(c->o->target, e) : ret;
}

static int copy_finish(void *ctx, void *worker, void *slot, struct err *e)
{
	struct copy *c = ctx;
	int ret = c->builder  ? copy_qcow2_finish(c, slot, e)
		  : c->writer ? copy_into_finish(c, slot, e)
			      : copy_raw_finish(c, slot, e);

	return ret < 0 ? copy_failed_at(c->o->target, e) : ret;
}

/* Packing large clusters as hard as can be takes more memory than a worker may have; then fewer
 * workers share what all may have. `first` is one of `wanted`. */
static int workers_bound(const struct copy *c, struct copy_worker *first, unsigned wanted,
			 unsigned *nr, struct err *e)
{
	uint64_t all = MEMORY_BASE + wanted * MEMORY_FOR_WORKER;
	uint64_t buffers = 2 * 2 * (uint64_t)c->job_max; /* two slots, with what is in and out */
	size_t packer;

	*nr = wanted;
	if (!c->o->compress || !c->o->level)
		return 0;
	if (packer_memory(first->packer, &packer, e) < 0)
		return -1;
	*nr = (unsigned)MAX(1, MIN(wanted, all / (buffers + packer)));
	return 0;
}

static int workers_make(const struct copy *c, void **workers, unsigned *nr, struct err *e)
{
	unsigned wanted = MIN(*nr, WORKERS_MAX);

	for (unsigned i = 0; i < wanted; i++) {
		workers[i] = worker_new(c, e);
		*nr = i + 1;
		if (!workers[i] || (i == 0 && workers_bound(c, workers[0], wanted, &wanted, e) < 0))
			return -1;
	}
	return 0;
}

int copy_run(struct copy *c, struct err *e)
{
	static const struct ring_ops ops = { copy_fill, copy_work, copy_settle, copy_finish };
	void *slots[2 * WORKERS_MAX] = { NULL }, *workers[WORKERS_MAX] = { NULL };
	struct ring_config r = {
		.workers = c->o->workers ? c->o->workers : ring_processors(),
		.slot = slots,
		.worker = workers,
		.ctx = c,
		.ops = &ops,
	};
	int ret = -1;

	grid_plan(c);
	if (workers_make(c, workers, &r.workers, e) < 0)
		goto out;
	r.slots = r.workers > 1 ? 2 * r.workers : 1;
	for (unsigned i = 0; i < r.slots; i++)
		if (!(slots[i] = slot_new(c))) {
			err_nomem(e);
			goto out;
		}
	ret = ring_run(&r, e);
	if (ret == 0)
		copy_losses_warn(c, &c->losses);
out:
	for (unsigned i = 0; i < r.slots; i++)
		slot_free(slots[i]);
	for (unsigned i = 0; i < r.workers; i++)
		worker_free(c, workers[i]);
	return ret;
}

void copy_finish_stopped(struct copy *c, const struct err *e)
{
	struct err why = ERR_INIT;

	if (e->code != ERR_STOPPED || atomic_load(&c->unwritten))
		return;
	if (image_writer_finish(c->writer, &why) < 0)
		warn_to(c->o->listener, "%s", why.text);
}

void copy_end(struct copy *c)
{
	free(c->starts);
}
