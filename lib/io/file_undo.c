#include "io/file_undo.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "io/overlay.h"
#include "io/undo_log.h"

/* Writes that may wait. */
#define WAITING_BYTES ((size_t)64 << 20)

struct file_undo {
	struct overlay overlay; /* first */
	struct undo_log log;
	uint8_t *buf; /* UNDO_RECORD_MAX */
	bool broken;  /* a failure in between: nothing more is written to the image */
};

static struct file_undo *undo_of(struct file *f)
{
	return (struct file_undo *)f;
}

/* Blocks of list[0] on that follow each other. */
static size_t group_at(struct overlay_block **list, size_t nr)
{
	size_t n = 1;

	while (n < nr && list[n]->nr == list[n - 1]->nr + 1 &&
	       (n + 1) * OVERLAY_BLOCK <= UNDO_RECORD_MAX)
		n++;
	return n;
}

/* Gathers them in u->buf; returns how many bytes of them lie in the file. */
static size_t group_gather(struct file_undo *u, struct overlay_block **list, size_t n)
{
	uint64_t off = list[0]->nr * OVERLAY_BLOCK, size = file_size(&u->overlay.file);

	for (size_t k = 0; k < n; k++)
		memcpy(u->buf + k * OVERLAY_BLOCK, list[k]->bytes, OVERLAY_BLOCK);
	return off < size ? (size_t)MIN(n * OVERLAY_BLOCK, size - off) : 0;
}

/* What the file is cut to, and gets back as zeros where it grows again. */
static int cut_keep(struct file_undo *u, uint64_t had, struct err *e)
{
	uint64_t low = u->overlay.low, off = align_down(low, UNDO_SECTOR);
	size_t left = (size_t)(low - off);

	if (low >= had)
		return 0;
	if (undo_log_keep(&u->log, low, had, e) < 0)
		return -1;
	if (!left)
		return 0;
	if (file_read_at(u->overlay.inner, off, u->buf, left, e) < 0)
		return -1;
	return undo_log_written(&u->log, off, u->buf, left, e);
}

/* Before anything is written: what it replaces, and what it will be. */
static int all_keep(struct file_undo *u, struct overlay_block **list, struct err *e)
{
	struct overlay *o = &u->overlay;
	uint64_t had = file_size(o->inner);

	if (undo_log_length(&u->log, file_size(&o->file), MIN(o->low, had), e) < 0 ||
	    cut_keep(u, had, e) < 0)
		return -1;
	for (size_t i = 0, n; i < o->nr; i += n) {
		uint64_t off = list[i]->nr * OVERLAY_BLOCK;

		n = group_at(list + i, o->nr - i);
		size_t len = group_gather(u, list + i, n);

		if (undo_log_keep(&u->log, off, off + n * OVERLAY_BLOCK, e) < 0 ||
		    (len && undo_log_written(&u->log, off, u->buf, len, e) < 0))
			return -1;
	}
	return undo_log_flush(&u->log, e);
}

static int all_write(struct file_undo *u, struct overlay_block **list, struct err *e)
{
	struct overlay *o = &u->overlay;
	uint64_t size = file_size(&o->file);

	if (o->low < file_size(o->inner) && file_truncate(o->inner, o->low, e) < 0)
		return -1;
	for (size_t i = 0, n; i < o->nr; i += n) {
		n = group_at(list + i, o->nr - i);
		size_t len = group_gather(u, list + i, n);

		if (len && file_write_at(o->inner, list[i]->nr * OVERLAY_BLOCK, u->buf, len, e) < 0)
			return -1;
	}
	return file_size(o->inner) != size ? file_truncate(o->inner, size, e) : 0;
}

/* Keeps, then writes, all that waits. */
static int drain_locked(struct overlay *o, struct err *e)
{
	struct file_undo *u = (struct file_undo *)o;
	AUTO_FREE struct overlay_block **list = NULL;

	if (u->broken)
		return err_set(e, ERR_IO, "an earlier write failed");
	if (!o->nr && o->low == UINT64_MAX && file_size(&o->file) == file_size(o->inner))
		return 0;
	list = overlay_sorted(o, e);
	if (!list || all_keep(u, list, e) < 0 || all_write(u, list, e) < 0) {
		u->broken = true;
		return -1;
	}
	overlay_clear(o);
	return 0;
}

static int undo_write(struct file *f, uint64_t off, const void *buf, size_t n, struct err *e)
{
	if (overlay_write(f, off, buf, n, e) < 0)
		return -1;
	if (!(f->flags & FILE_SYNC_WRITES))
		return 0;
	LOCKED(&undo_of(f)->overlay.lock);
	return drain_locked(&undo_of(f)->overlay, e);
}

static int undo_flush(struct file *f, struct err *e)
{
	LOCKED(&undo_of(f)->overlay.lock);
	return drain_locked(&undo_of(f)->overlay, e) < 0 ? -1 : file_flush(undo_of(f)->overlay.inner, e);
}

/* What there is to say last is true once all that was written is durable. */
static int undo_seal(struct file_undo *u, struct err *e)
{
	LOCKED(&u->overlay.lock);
	if (drain_locked(&u->overlay, e) < 0 || file_flush(u->overlay.inner, e) < 0)
		return -1;
	return undo_log_done(&u->log, e);
}

static int undo_close(struct file *f, struct err *e)
{
	struct file_undo *u = undo_of(f);
	struct file *inner = u->overlay.inner;
	int ret = u->broken ? 0 : undo_seal(u, e);

	overlay_fini(&u->overlay);
	if (undo_log_close(&u->log, e) < 0)
		ret = -1;
	free(u->buf);
	free(u);
	return file_close(inner, e) < 0 ? -1 : ret;
}

static const struct file_ops file_undo_ops = {
	.read = overlay_read,
	.write = undo_write,
	.zero = overlay_zero,
	.discard = overlay_discard,
	.allocate = overlay_allocate,
	.truncate = overlay_truncate,
	.flush = undo_flush,
	.resample = overlay_resample,
	.next_data = overlay_next_data,
	.close = undo_close,
};

bool file_is_undo(const struct file *f)
{
	return f->ops == &file_undo_ops;
}

int file_undo_note(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	LOCKED(&undo_of(f)->overlay.lock);
	return undo_log_note(&undo_of(f)->log, off, off + len, e);
}

struct file *file_undo_new(struct file *inner, struct file *undo, struct err *e)
{
	struct file_undo *u = calloc(1, sizeof *u);

	if (!u || !(u->buf = malloc(UNDO_RECORD_MAX))) {
		err_nomem(e);
		file_drop(undo);
		goto fail;
	}
	u->overlay.file.ops = &file_undo_ops;
	if (undo_log_begin(&u->log, undo, inner, e) == 0 &&
	    overlay_init(&u->overlay, inner, WAITING_BYTES / OVERLAY_BLOCK, drain_locked, e) == 0)
		return &u->overlay.file;
	undo_log_drop(&u->log);
fail:
	if (u)
		free(u->buf);
	free(u);
	file_drop(inner);
	return NULL;
}
