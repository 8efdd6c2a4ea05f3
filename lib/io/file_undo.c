#include "io/file_undo.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "io/overlay.h"
#include "io/undo_format.h"

/* Writes that may wait. */
#define WAITING_BYTES ((size_t)64 << 20)

struct range {
	uint64_t start, end;
};

struct file_undo {
	struct overlay overlay; /* first */
	struct file *undo;
	uint64_t old_size; /* of the image, when it began */
	uint64_t end;	   /* of the undo file, so far */
	uint64_t record_nr;
	struct range *kept; /* bytes of the image that are in it: in order, none adjoin */
	size_t kept_nr, kept_room;
	uint8_t *buf; /* UNDO_RECORD_MAX */
	bool broken;  /* a failure in between: nothing more is written to the image */
};

static struct file_undo *undo_of(struct file *f)
{
	return (struct file_undo *)f;
}

/* --- what is kept --- */

/* The first range that ends behind `at`. */
static size_t kept_find(const struct file_undo *u, uint64_t at)
{
	size_t low = 0, high = u->kept_nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (u->kept[mid].end > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Notes that start .. end-1, of which nothing was kept, is kept now. */
static int kept_add(struct file_undo *u, uint64_t start, uint64_t end, struct err *e)
{
	size_t i = kept_find(u, start);
	bool left = i > 0 && u->kept[i - 1].end == start;
	bool right = i < u->kept_nr && u->kept[i].start == end;

	if (left && right) {
		u->kept[i - 1].end = u->kept[i].end;
		memmove(u->kept + i, u->kept + i + 1, (u->kept_nr - i - 1) * sizeof *u->kept);
		u->kept_nr--;
	} else if (left) {
		u->kept[i - 1].end = end;
	} else if (right) {
		u->kept[i].start = start;
	} else {
		if (!vec_grow(&u->kept, u->kept_nr, &u->kept_room))
			return err_nomem(e);
		memmove(u->kept + i + 1, u->kept + i, (u->kept_nr - i) * sizeof *u->kept);
		u->kept[i] = (struct range){ start, end };
		u->kept_nr++;
	}
	return 0;
}

static int record_write(struct file_undo *u, enum undo_kind kind, uint64_t off, uint64_t len,
			const uint8_t *bytes, struct err *e)
{
	struct undo_record r = { .kind = kind, .off = off, .len = len, .nr = u->record_nr };
	uint8_t head[UNDO_RECORD];

	if (kind == UNDO_BYTES)
		r.crc = undo_crc(bytes, (size_t)len);
	undo_record_encode(&r, head);
	if (file_write_at(u->undo, u->end, head, sizeof head, e) < 0 ||
	    (kind == UNDO_BYTES &&
	     file_write_at(u->undo, u->end + sizeof head, bytes, (size_t)len, e) < 0))
		return err_ctx(e, "undo file");
	u->end += sizeof head + (kind == UNDO_BYTES ? len : 0);
	u->record_nr++;
	return 0;
}

/* Bytes that a buffer holds: runs of zeros and of others, in blocks. */
static int runs_store(struct file_undo *u, uint64_t off, const uint8_t *p, size_t n,
		      struct err *e)
{
	for (size_t at = 0, run; at < n; at += run) {
		bool zero;

		run = bytes_zero_run(p + at, n - at, OVERLAY_BLOCK, &zero);
		if (record_write(u, zero ? UNDO_ZEROS : UNDO_BYTES, off + at, run, p + at, e) < 0)
			return -1;
	}
	return 0;
}

/* Stores what the image holds at off .. end-1, of which nothing is kept. */
static int gap_store(struct file_undo *u, uint64_t off, uint64_t end, struct err *e)
{
	struct hole_map map = hole_map_over(u->overlay.inner);
	uint64_t len;
	bool data;

	for (uint64_t at = off; at < end; at += len) {
		hole_map_next(&map, at, end - at, &data, &len);
		if (data)
			len = MIN(len, UNDO_RECORD_MAX);
		if (data ? file_read_padded(u->overlay.inner, at, u->buf, (size_t)len, NULL, e) < 0 ||
				   runs_store(u, at, u->buf, (size_t)len, e) < 0
			 : record_write(u, UNDO_ZEROS, at, len, NULL, e) < 0)
			return -1;
	}
	return kept_add(u, off, end, e);
}

/* Stores what is not kept yet of off .. end-1. */
static int old_bytes_keep(struct file_undo *u, uint64_t off, uint64_t end, struct err *e)
{
	end = MIN(end, u->old_size);
	while (off < end) {
		size_t i = kept_find(u, off);
		uint64_t next = i < u->kept_nr ? u->kept[i].start : end;

		if (next > off && gap_store(u, off, MIN(next, end), e) < 0)
			return -1;
		i = kept_find(u, off);
		off = i < u->kept_nr && u->kept[i].start <= off ? u->kept[i].end : end;
	}
	return 0;
}

/* --- writes that waited --- */

static size_t group_at(struct overlay_block **list, size_t nr)
{
	size_t n = 1;

	while (n < nr && list[n]->nr == list[n - 1]->nr + 1 &&
	       (n + 1) * OVERLAY_BLOCK <= UNDO_RECORD_MAX)
		n++;
	return n;
}

static int all_keep(struct file_undo *u, struct overlay_block **list, struct err *e)
{
	struct overlay *o = &u->overlay;

	for (size_t i = 0, n; i < o->nr; i += n) {
		n = group_at(list + i, o->nr - i);
		if (old_bytes_keep(u, list[i]->nr * OVERLAY_BLOCK,
				   (list[i]->nr + n) * OVERLAY_BLOCK, e) < 0)
			return -1;
	}
	if (o->low < file_size(o->inner) &&
	    old_bytes_keep(u, o->low, file_size(o->inner), e) < 0)
		return -1;
	return file_flush(u->undo, e) < 0 ? err_ctx(e, "undo file") : 0;
}

static int all_write(struct file_undo *u, struct overlay_block **list, struct err *e)
{
	struct overlay *o = &u->overlay;
	uint64_t size = file_size(&o->file);

	if (o->low < file_size(o->inner) && file_truncate(o->inner, o->low, e) < 0)
		return -1;
	for (size_t i = 0, n; i < o->nr; i += n) {
		uint64_t off = list[i]->nr * OVERLAY_BLOCK;

		n = group_at(list + i, o->nr - i);
		for (size_t k = 0; k < n; k++)
			memcpy(u->buf + k * OVERLAY_BLOCK, list[i + k]->bytes, OVERLAY_BLOCK);
		if (off < size && file_write_at(o->inner, off, u->buf,
						(size_t)MIN(n * OVERLAY_BLOCK, size - off), e) < 0)
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

static int undo_close(struct file *f, struct err *e)
{
	struct file_undo *u = undo_of(f);
	struct file *inner = u->overlay.inner;
	int ret = 0;

	if (!u->broken) {
		LOCKED(&u->overlay.lock);
		ret = drain_locked(&u->overlay, e);
	}
	overlay_fini(&u->overlay);
	if (file_close(u->undo, e) < 0)
		ret = -1;
	free(u->kept);
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

/* --- the beginning --- */

/* One sample of the image, at the first data at or behind `at`. False: there is none. */
static bool sample_take(struct file *image, uint64_t at, uint8_t p[UNDO_SAMPLE], uint64_t *next,
			struct err *e)
{
	struct hole_map map = hole_map_over(image);
	uint8_t bytes[UNDO_SAMPLE_BYTES];
	uint64_t len, left;
	bool data;

	hole_map_next(&map, at, UINT64_MAX, &data, &len);
	if (!data && len > file_size(image) - at)
		return false;
	at += data ? 0 : len;
	if (at >= file_size(image))
		return false;
	left = MIN(file_size(image) - at, UNDO_SAMPLE_BYTES);
	if (file_read_at(image, at, bytes, (size_t)left, e) < 0)
		return false;
	be64_put(p, at);
	be32_put(p + 8, (uint32_t)left);
	be32_put(p + 12, undo_crc(bytes, (size_t)left));
	*next = at + left;
	return true;
}

static int header_write(struct file *undo, struct file *image, struct err *e)
{
	uint8_t p[UNDO_HEADER] = { 0 };
	uint64_t size = file_size(image), at = 0;
	uint32_t nr = 0;

	memcpy(p, UNDO_MAGIC, 8);
	be32_put(p + 8, UNDO_VERSION);
	be64_put(p + 16, size);
	while (nr < UNDO_SAMPLES && at < size &&
	       sample_take(image, at, p + UNDO_SAMPLES_AT + nr * UNDO_SAMPLE, &at, e)) {
		nr++;
		at = MAX(at, size / UNDO_SAMPLES * nr / OVERLAY_BLOCK * OVERLAY_BLOCK);
	}
	if (err_is(e))
		return -1;
	be32_put(p + 12, nr);
	be32_put(p + UNDO_HEADER - 4, undo_crc(p, UNDO_HEADER - 4));
	if (file_write_at(undo, 0, p, sizeof p, e) < 0 || file_flush(undo, e) < 0 ||
	    file_flush_directory(undo, e) < 0)
		return err_ctx(e, "undo file");
	return 0;
}

struct file *file_undo_new(struct file *inner, struct file *undo, struct err *e)
{
	struct file_undo *u = calloc(1, sizeof *u);

	if (!u || !(u->buf = malloc(UNDO_RECORD_MAX))) {
		err_nomem(e);
		goto fail;
	}
	u->undo = undo;
	u->old_size = file_size(inner);
	u->end = UNDO_HEADER;
	u->overlay.file.ops = &file_undo_ops;
	if (header_write(undo, inner, e) < 0 ||
	    overlay_init(&u->overlay, inner, WAITING_BYTES / OVERLAY_BLOCK, drain_locked, e) < 0)
		goto fail;
	return &u->overlay.file;
fail:
	if (u)
		free(u->buf);
	free(u);
	file_drop(undo);
	file_drop(inner);
	return NULL;
}
