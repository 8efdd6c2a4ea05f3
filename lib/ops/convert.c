#include "ops/convert.h"

#include <stdlib.h>

#include "base/align.h"
#include "image/policy.h"
#include "ops/copy.h"

/* Large enough that a request costs little beside its bytes, small enough that a worker's
 * buffer stays in its cache. */
#define JOB_BYTES     ((uint64_t)512 << 10)
#define STEP_MAX      4096
#define WORKERS_MAX   16

static int starts_find(struct copy *c, struct err *e)
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
		c->over_backing = o->create.backing_name != NULL;
	}
	c->step = (size_t)MIN(c->unit, STEP_MAX);
	if (o->sparse && o->sparse < c->step)
		c->step = SECTOR_SIZE;
	c->job_max = (size_t)MAX(c->grid, JOB_BYTES);
	c->enter_zeros = c->over_backing || (o->no_create && !o->target_is_zero);
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
	packer_free(w->packer);
	free(w);
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
	if (!o->compress || (w->packer = packer_new(c->builder, o->level, e)))
		return w;
out:
	worker_free(c, w);
	return NULL;
}

static int copy_run(struct copy *c, struct err *e)
{
	static const struct ring_ops raw_ops = { copy_fill, copy_work, copy_raw_settle,
						 copy_raw_finish };
	static const struct ring_ops qcow2_ops = { copy_fill, copy_work, copy_qcow2_settle,
						   copy_qcow2_finish };
	void *slots[2 * WORKERS_MAX] = { NULL }, *workers[WORKERS_MAX] = { NULL };
	unsigned wanted = c->o->workers ? c->o->workers : ring_processors();
	struct ring_config r = {
		.workers = MIN(wanted, WORKERS_MAX),
		.slot = slots,
		.worker = workers,
		.ctx = c,
		.ops = c->builder ? &qcow2_ops : &raw_ops,
	};
	int ret = -1;

	r.slots = r.workers > 1 ? 2 * r.workers : 1;
	for (unsigned i = 0; i < r.workers; i++)
		if (!(workers[i] = worker_new(c, e)))
			goto out;
	for (unsigned i = 0; i < r.slots; i++)
		if (!(slots[i] = slot_new(c))) {
			err_nomem(e);
			goto out;
		}
	ret = ring_run(&r, e);
out:
	for (unsigned i = 0; i < r.slots; i++)
		slot_free(slots[i]);
	for (unsigned i = 0; i < r.workers; i++)
		worker_free(c, workers[i]);
	return ret;
}

static int qcow2_fill(struct copy *c, bool durable, struct err *e)
{
	struct create_options create = c->o->create;
	int ret = -1;

	create.size = c->total;
	c->builder = builder_new(c->target->file, &create, e);
	if (!c->builder)
		return -1;
	grid_plan(c);
	if (copy_run(c, e) == 0)
		ret = builder_finish(c->builder, durable ? BUILD_ORDERED : BUILD_LAZY, e);
	builder_free(c->builder);
	return ret;
}

static int raw_fill(struct copy *c, bool durable, struct err *e)
{
	const struct convert_options *o = c->o;

	if (o->no_create && target_size(c->target) < c->total)
		return err_set(
			e, ERR_INVALID,
			"the target has %llu bytes and the source %llu: it does not fit",
			(unsigned long long)target_size(c->target),
			(unsigned long long)c->total);
	grid_plan(c);
	if (!o->no_create &&
	    target_raw_prepare(c->target, c->total, o->create.preallocation, e) < 0)
		return -1;
	if (copy_run(c, e) < 0)
		return -1;
	return durable ? target_flush(c->target, e) : 0;
}

/* What is left to the backing file is left to its very place. */
static int backing_check(const struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;

	if (!o->create.backing_name ||
	    (o->source_nr == 1 && !o->skip && c->window == c->starts[o->source_nr]))
		return 0;
	return err_set(e, ERR_INVALID,
		       "only a whole disk can be copied over a backing file");
}

/* Whatever can be refused is refused while an existing target still holds what it held. */
static int options_check(const struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;
	struct create_options create = o->create;

	if (o->no_create)
		return 0;
	create.size = c->total;
	if (o->format != FORMAT_QCOW2)
		return target_raw_check(o->create.preallocation, e);
	if (o->compress && (create.preallocation != PREALLOCATION_OFF || create.data_file))
		return err_set(
			e, ERR_INVALID,
			"compressed clusters go neither with preallocation nor with a data file");
	return backing_check(c, e) < 0 ? -1 : create_check(&create, e);
}

/* Whether the data file at `path` is the backing file that the new image is to have. */
static bool is_backing(const struct convert_options *o, const char *path)
{
	char *backing = o->create.backing_name
				? policy_combine(o->target, o->create.backing_name)
				: NULL;
	uint64_t device, inode, its_device, its_inode;
	bool same = backing && file_path_identity(backing, &device, &inode) &&
		    file_path_identity(path, &its_device, &its_inode) &&
		    device == its_device && inode == its_inode;

	free(backing);
	return same;
}

/* Neither the target nor its data file may be anything that is read. */
static int sources_check(const struct convert_options *o, struct file *target,
			 struct err *e)
{
	bool has_data_file =
		o->format == FORMAT_QCOW2 && !o->no_create && o->create.data_file;
	char *data_file = NULL;
	int ret = 0;

	if (has_data_file &&
	    policy_resolve(o->target, o->create.data_file, &data_file, e) < 0)
		return err_ctx(e, "data_file");
	for (unsigned i = 0; ret == 0 && i < o->source_nr; i++) {
		if (disk_uses_file(o->sources[i], target))
			ret = err_set(e, ERR_INVALID,
				      "source and target are the same file");
		else if (data_file && disk_uses_path(o->sources[i], data_file))
			ret = err_set(e, ERR_INVALID,
				      "source and data file are the same file");
	}
	if (ret == 0 && data_file && is_backing(o, data_file))
		ret = err_set(e, ERR_INVALID,
			      "the data file and the backing file are the same file");
	free(data_file);
	return ret;
}

int convert(const struct convert_options *o, struct err *e)
{
	struct target t = { 0 };
	struct copy c = { .o = o, .target = &t };
	bool durable = !(o->target_flags & FILE_NO_FLUSH);
	int ret = -1;

	if (starts_find(&c, e) < 0 || options_check(&c, e) < 0 ||
	    target_open(&t, o->target, o->target_flags, o->no_create, e) < 0)
		goto out;
	if (sources_check(o, t.file, e) < 0 ||
	    target_lock(&t, o->locking, o->listener, e) < 0)
		goto out;
	if (!o->no_create && target_empty(&t, &o->create, e) < 0)
		goto out;
	ret = o->format == FORMAT_QCOW2 ? qcow2_fill(&c, durable, e)
					: raw_fill(&c, durable, e);
out:
	free(c.starts);
	return target_close(&t, ret, e);
}
