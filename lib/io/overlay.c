#include "io/overlay.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"

#define SLOTS_FIRST 1024

static struct overlay *overlay_of(struct file *f)
{
	return (struct overlay *)f;
}

int overlay_init(struct overlay *o, struct file *inner, size_t max,
		 int (*full)(struct overlay *o, struct err *e), struct err *e)
{
	o->slots = calloc(SLOTS_FIRST, sizeof *o->slots);
	if (!o->slots)
		return err_nomem(e);
	o->slot_nr = SLOTS_FIRST;
	o->max = max;
	o->low = UINT64_MAX;
	o->full = full;
	o->inner = inner;
	pthread_mutex_init(&o->lock, NULL);
	/* It shows the inner file's face and borrows its path and descriptor. */
	o->file.path = inner->path;
	o->file.flags = inner->flags | FILE_WRITE;
	o->file.fd = inner->fd;
	o->file.regular = inner->regular;
	o->file.device = inner->device;
	o->file.inode = inner->inode;
	atomic_store(&o->file.size, file_size(inner));
	return 0;
}

void overlay_fini(struct overlay *o)
{
	if (!o->slots)
		return;
	overlay_clear(o);
	free(o->slots);
	pthread_mutex_destroy(&o->lock);
}

/* Where the block is, or would be. */
static struct overlay_block **slot_of(struct overlay_block **slots, size_t slot_nr, uint64_t nr)
{
	size_t at = (size_t)(nr * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (slot_nr - 1);

	while (slots[at] && slots[at]->nr != nr)
		at = (at + 1) & (slot_nr - 1);
	return &slots[at];
}

static int slots_double(struct overlay *o, struct err *e)
{
	size_t slot_nr = o->slot_nr * 2;
	struct overlay_block **slots = calloc(slot_nr, sizeof *slots);

	if (!slots)
		return err_nomem(e);
	for (size_t i = 0; i < o->slot_nr; i++)
		if (o->slots[i])
			*slot_of(slots, slot_nr, o->slots[i]->nr) = o->slots[i];
	free(o->slots);
	o->slots = slots;
	o->slot_nr = slot_nr;
	return 0;
}

/* Reads the file below, as far as it counts. */
static int below_read(struct overlay *o, uint64_t off, void *buf, size_t n, struct err *e)
{
	size_t counts = off < o->low ? (size_t)MIN((uint64_t)n, o->low - off) : 0;

	memset((char *)buf + counts, 0, n - counts);
	return counts ? file_read_padded(o->inner, off, buf, counts, NULL, e) : 0;
}

/* The block, made with the bytes below if it is not there. `whole`: they are not needed. */
static struct overlay_block *block_get(struct overlay *o, uint64_t nr, bool whole, struct err *e)
{
	struct overlay_block *b = *slot_of(o->slots, o->slot_nr, nr);

	if (b)
		return b;
	if ((o->nr >= o->max && o->full(o, e) < 0) ||
	    (o->nr >= o->slot_nr / 2 && slots_double(o, e) < 0))
		return NULL;
	b = malloc(sizeof *b);
	if (!b) {
		err_nomem(e);
		return NULL;
	}
	b->nr = nr;
	if (!whole && below_read(o, nr * OVERLAY_BLOCK, b->bytes, OVERLAY_BLOCK, e) < 0) {
		free(b);
		return NULL;
	}
	*slot_of(o->slots, o->slot_nr, nr) = b;
	o->nr++;
	return b;
}

int overlay_read(struct file *f, uint64_t off, void *buf, size_t n, size_t *got, struct err *e)
{
	struct overlay *o = overlay_of(f);
	LOCKED(&o->lock);
	uint64_t size = file_size(f), end;

	*got = off < size ? (size_t)MIN((uint64_t)n, size - off) : 0;
	if (below_read(o, off, buf, *got, e) < 0)
		return -1;
	end = off + *got;
	for (uint64_t at = off, next; o->nr && at < end; at = next) {
		const struct overlay_block *b =
			*slot_of(o->slots, o->slot_nr, at / OVERLAY_BLOCK);

		next = MIN(align_down(at, OVERLAY_BLOCK) + OVERLAY_BLOCK, end);
		if (b)
			memcpy((char *)buf + (at - off), b->bytes + at % OVERLAY_BLOCK,
			       (size_t)(next - at));
	}
	return 0;
}

int overlay_write(struct file *f, uint64_t off, const void *buf, size_t n, struct err *e)
{
	struct overlay *o = overlay_of(f);
	LOCKED(&o->lock);

	for (size_t done = 0, part; done < n; done += part) {
		size_t in = (size_t)((off + done) % OVERLAY_BLOCK);

		part = MIN(n - done, OVERLAY_BLOCK - in);
		struct overlay_block *b = block_get(o, (off + done) / OVERLAY_BLOCK,
						    part == OVERLAY_BLOCK, e);

		if (!b)
			return -1;
		memcpy(b->bytes + in, (const char *)buf + done, part);
	}
	file_grew(f, off + n); /* before somebody stores it: its end is not to be cut off */
	return 0;
}

int overlay_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
		 struct err *e)
{
	return 0; /* zeros are written */
}

void overlay_discard(struct file *f, uint64_t off, uint64_t len)
{
}

int overlay_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	return 0; /* it grows, and that is all there is to see */
}

int overlay_truncate(struct file *f, uint64_t size, struct err *e)
{
	struct overlay *o = overlay_of(f);
	LOCKED(&o->lock);
	struct overlay_block *edge = *slot_of(o->slots, o->slot_nr, size / OVERLAY_BLOCK);

	if (size >= file_size(f))
		return 0;
	o->low = MIN(o->low, size);
	if (edge)
		memset(edge->bytes + size % OVERLAY_BLOCK, 0,
		       OVERLAY_BLOCK - size % OVERLAY_BLOCK);
	/* What lies behind it becomes zeros, for the file may grow again. */
	for (size_t i = 0; i < o->slot_nr; i++)
		if (o->slots[i] && o->slots[i]->nr * OVERLAY_BLOCK >= size)
			memset(o->slots[i]->bytes, 0, OVERLAY_BLOCK);
	return 0;
}

int overlay_resample(struct file *f, struct err *e)
{
	return 0; /* the size is what was written here */
}

bool overlay_next_data(struct file *f, uint64_t off, uint64_t *data, uint64_t *hole)
{
	struct overlay *o = overlay_of(f);
	LOCKED(&o->lock);

	return !o->nr && o->low == UINT64_MAX && o->inner->ops->next_data(o->inner, off, data, hole);
}

int overlay_show_cut(struct overlay *o, struct err *e)
{
	struct hole_map map = hole_map_over(o->inner);
	uint64_t end = MIN(file_size(o->inner), file_size(&o->file)), len;
	bool data;

	for (uint64_t at = o->low; at < end; at += len) {
		hole_map_next(&map, at, OVERLAY_BLOCK - at % OVERLAY_BLOCK, &data, &len);
		if (data && !block_get(o, at / OVERLAY_BLOCK, false, e))
			return -1;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct overlay_block *x = *(struct overlay_block *const *)a;
	const struct overlay_block *y = *(struct overlay_block *const *)b;

	return x->nr < y->nr ? -1 : x->nr > y->nr;
}

struct overlay_block **overlay_sorted(const struct overlay *o, struct err *e)
{
	struct overlay_block **list = malloc((o->nr + 1) * sizeof *list);
	size_t nr = 0;

	if (!list) {
		err_nomem(e);
		return NULL;
	}
	for (size_t i = 0; i < o->slot_nr; i++)
		if (o->slots[i])
			list[nr++] = o->slots[i];
	qsort(list, nr, sizeof *list, by_place);
	return list;
}

void overlay_clear(struct overlay *o)
{
	for (size_t i = 0; i < o->slot_nr; i++) {
		free(o->slots[i]);
		o->slots[i] = NULL;
	}
	o->nr = 0;
	o->low = UINT64_MAX;
}
