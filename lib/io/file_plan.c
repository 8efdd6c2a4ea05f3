#include "io/file_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "io/overlay.h"

#define PLAN_BYTES_MAX ((size_t)1 << 30)
#define NEAR_BYTES 8 /* a gap of less joins two ranges */

static struct overlay *plan_of(struct file *f)
{
	return (struct overlay *)f;
}

static int plan_full(struct overlay *o, struct err *e)
{
	return err_set(e, ERR_UNSUPPORTED,
		       "what would be written is more than a dry run can keep, %zu MiB",
		       PLAN_BYTES_MAX >> 20);
}

static int plan_flush(struct file *f, struct err *e)
{
	return 0;
}

static int plan_close(struct file *f, struct err *e)
{
	struct file *inner = plan_of(f)->lent ? NULL : plan_of(f)->inner;

	overlay_fini(plan_of(f));
	free(f);
	return file_close(inner, e);
}

static const struct file_ops file_plan_ops = {
	.read = overlay_read,
	.write = overlay_write,
	.zero = overlay_zero,
	.discard = overlay_discard,
	.allocate = overlay_allocate,
	.truncate = overlay_truncate,
	.flush = plan_flush,
	.resample = overlay_resample,
	.next_data = overlay_next_data,
	.close = plan_close,
};

struct file *file_plan_over(struct file *lent, struct err *e)
{
	struct overlay *o = calloc(1, sizeof *o);

	if (!o) {
		err_nomem(e);
		return NULL;
	}
	if (overlay_init(o, lent, PLAN_BYTES_MAX / OVERLAY_BLOCK, plan_full, e) < 0) {
		free(o);
		return NULL;
	}
	o->file.ops = &file_plan_ops;
	o->lent = true;
	return &o->file;
}

struct file *file_plan_new(struct file *inner, struct err *e)
{
	struct file *f = file_plan_over(inner, e);

	if (f)
		plan_of(f)->lent = false;
	else
		file_drop(inner);
	return f;
}

bool file_is_plan(const struct file *f)
{
	return f->ops == &file_plan_ops;
}

uint64_t file_plan_old_size(const struct file *plan)
{
	return file_size(((const struct overlay *)plan)->inner);
}

struct changes {
	struct file_plan_range *list;
	size_t nr, room;
};

static int change_add(struct changes *c, uint64_t off, uint64_t len, struct err *e)
{
	struct file_plan_range *last = c->nr ? &c->list[c->nr - 1] : NULL;

	if (last && off < last->off + last->len + NEAR_BYTES) {
		last->len = off + len - last->off;
		return 0;
	}
	if (!vec_grow(&c->list, c->nr, &c->room))
		return err_nomem(e);
	c->list[c->nr++] = (struct file_plan_range){ off, len };
	return 0;
}

static int block_compare(struct changes *c, struct overlay *o, const struct overlay_block *b,
			 struct err *e)
{
	uint64_t off = b->nr * OVERLAY_BLOCK, size = file_size(&o->file);
	size_t n = off < size ? (size_t)MIN((uint64_t)OVERLAY_BLOCK, size - off) : 0;
	uint8_t was[OVERLAY_BLOCK];

	if (n && file_read_padded(o->inner, off, was, n, NULL, e) < 0)
		return -1;
	for (size_t i = 0, end; i < n; i = end) {
		end = i + 1;
		if (was[i] == b->bytes[i])
			continue;
		while (end < n && was[end] != b->bytes[end])
			end++;
		if (change_add(c, off + i, end - i, e) < 0)
			return -1;
	}
	return 0;
}

int file_plan_changes(struct file *plan, struct file_plan_range **ranges, size_t *nr,
		      struct err *e)
{
	struct overlay *o = plan_of(plan);
	LOCKED(&o->lock);
	AUTO_FREE struct overlay_block **list = NULL;
	struct changes c = { 0 };

	if (overlay_show_cut(o, e) == 0)
		list = overlay_sorted(o, e);
	for (size_t i = 0; list && i < o->nr; i++)
		if (block_compare(&c, o, list[i], e) < 0) {
			free(c.list);
			return -1;
		}
	*ranges = c.list;
	*nr = c.nr;
	return list ? 0 : -1;
}
