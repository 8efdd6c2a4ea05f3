/* COPY_DIRTY: what a bitmap says is dirty, as the guest sees it, and nothing else. */
#include <string.h>

#include "base/align.h"
#include "base/text.h"
#include "ops/copy.h"

static int usable_check(struct copy_dirty *d, const char *name, struct err *e)
{
	char shown[128];

	text_escape(name, strlen(name), shown, sizeof shown);
	d->bitmap = bitmap_find(&d->set, (struct bytes){ (const uint8_t *)name, strlen(name) });
	if (!d->bitmap)
		return err_set(e, ERR_NOTFOUND, "there is no bitmap '%s'", shown);
	return bitmap_load(&d->set, d->bitmap, e) < 0 ? err_ctx(e, "bitmap '%s'", shown) : 0;
}

static int dirty_load(struct copy_dirty *d, struct disk *source, const char *name, struct err *e)
{
	struct image *img = disk_image(source, 0);

	if (!img)
		return err_set(e, ERR_UNSUPPORTED, "a raw image has no bitmaps");
	if (disk_size(source) != image_geom(img)->disk_size)
		return err_set(e, ERR_INVALID,
			       "the bitmap is of a disk of %llu bytes, and %llu are to be copied",
			       (unsigned long long)image_geom(img)->disk_size,
			       (unsigned long long)disk_size(source));
	if (bitmap_set_load(&d->set, img, e) < 0)
		return -1;
	if (d->set.is_void)
		return err_set(e, ERR_UNSUPPORTED,
			       "the bitmaps are void: the disk was changed without them, and only "
			       "a full copy holds all that changed");
	return usable_check(d, name, e);
}

int copy_dirty_begin(struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;

	if (!o->dirty_only)
		return 0;
	if (o->source_nr != 1 || o->skip || c->window != c->starts[1])
		return err_set(e, ERR_INVALID, "a bitmap tells of a whole disk, and of one");
	if (dirty_load(&c->dirty, o->sources[0], o->dirty_only, e) < 0)
		return copy_failed_at(disk_name(o->sources[0]), e);
	c->pick = COPY_DIRTY;
	return 0;
}

void copy_dirty_end(struct copy *c)
{
	bitmap_set_fini(&c->dirty.set);
}

/* The stretch of dirty bytes at or behind `guest` is kept: it is asked about piece by piece. */
static int stretch_find(struct copy_dirty *d, uint64_t guest, struct err *e)
{
	uint64_t at = guest, len;

	if (guest >= d->looked && guest < d->end)
		return 0;
	if (bitmap_next(&d->set, d->bitmap, &at, &len, e) < 0)
		return err_ctx(e, "bitmap");
	d->looked = guest;
	d->start = len ? at : UINT64_MAX;
	d->end = len ? at + len : UINT64_MAX;
	return 0;
}

/* ABSENT is what is not dirty. A place that nobody ever wrote to is ZERO all the same: once it held
 * something, or a backing file of the target does. */
int copy_dirty_look(struct copy *c, struct disk *disk, uint64_t guest, uint64_t rest,
		    struct err *e)
{
	struct copy_dirty *d = &c->dirty;
	struct extent *x = &c->pending;

	x->len = 0;
	if (stretch_find(d, guest, e) < 0)
		return -1;
	if (guest < d->start) {
		*x = (struct extent){ .guest = guest, .len = MIN(rest, d->start - guest),
				      .kind = EXTENT_ABSENT };
		return 0;
	}
	if (disk_next(disk, guest, MIN(rest, d->end - guest), x, e) < 0)
		return -1;
	if (x->reads_zero)
		x->kind = EXTENT_ZERO;
	return 0;
}
