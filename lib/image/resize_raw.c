/* A raw disk: its file is as long as it is, or longer by what lies in front of its window. */
#include <inttypes.h>

#include "base/align.h"
#include "image/internal.h"
#include "image/resize.h"
#include "image/target.h"

/* The length comes first: whoever ends it in the middle leaves a disk of one size or the other. */
static int grow(struct file *f, uint64_t old, uint64_t end, enum preallocation how,
		const struct watch *watch, struct err *e)
{
	if (file_truncate(f, end, e) < 0)
		return -1;
	if (how == PREALLOCATION_FALLOC)
		return file_allocate(f, old, end - old, e);
	return how == PREALLOCATION_FULL ? target_reserve(f, old, end - old, how, watch, e) : 0;
}

static int request_check(const struct disk *d, const struct resize_options *o, struct err *e)
{
	if (o->preallocation != PREALLOCATION_OFF && o->size <= d->size)
		return err_set(e, ERR_INVALID, "Preallocation can only be used for growing images");
	if (o->preallocation == PREALLOCATION_METADATA)
		return err_set(e, ERR_INVALID,
			       "Unsupported preallocation mode: metadata (a raw image has none)");
	if (d->window_fixed)
		return err_set(e, ERR_UNSUPPORTED,
			       "the size of the disk is given by the size option: it can't change");
	if (!file_is_regular(d->file) && o->size != d->size)
		return err_set(e, ERR_UNSUPPORTED, "a device can't be resized");
	if (o->size > FILE_OFFSET_MAX - SECTOR_SIZE - d->window_off)
		return err_set(e, ERR_INVALID, "the new size, %" PRIu64 " bytes, is too large",
			       o->size);
	return 0;
}

int raw_resize(struct disk *d, const struct resize_options *o, const struct watch *watch,
	       struct err *e)
{
	uint64_t old = file_size(d->file), end;
	struct err ignored = ERR_INIT;

	if (request_check(d, o, e) < 0)
		return -1;
	end = d->window_off + o->size;
	if (end < old && file_truncate(d->file, end, e) < 0)
		return -1;
	if (end > old && grow(d->file, old, end, o->preallocation, watch, e) < 0) {
		if (file_truncate(d->file, old, &ignored) < 0)
			return -1; /* part of the space stays taken */
		return -1;
	}
	d->size = align_up(o->size, SECTOR_SIZE);
	return file_flush(d->file, e);
}
