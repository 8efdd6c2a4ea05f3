#include "ops/convert_bitmaps.h"

#include "base/text.h"
#include "image/bitmaps.h"

#define NAME_SHOWN 128

static char *shown(const struct bitmap *b, char buf[NAME_SHOWN])
{
	return text_escape(b->entry.name.p, b->entry.name.n, buf, NAME_SHOWN);
}

static struct image *source_image(const struct convert_options *o)
{
	return disk_image(o->sources[0], 0);
}

static int broken_check(const struct convert_options *o, const struct bitmap_set *s, struct err *e)
{
	char name[NAME_SHOWN];

	if (s->is_void)
		warn_to(o->listener, "'%s': the bitmaps are void, and not copied",
			disk_name(o->sources[0]));
	for (size_t i = 0; i < s->nr && !o->skip_broken_bitmaps; i++) {
		struct err why = ERR_INIT;

		if (bitmap_usable(&s->items[i], &why) == 0)
			continue;
		shown(&s->items[i], name);
		err_set(e, why.code, "Cannot copy inconsistent bitmap '%s'", name);
		return err_hint(e, "Try --skip-broken-bitmaps, or use bitmap --remove '%s'", name);
	}
	return 0;
}

int convert_bitmaps_check(const struct convert_options *o, struct err *e)
{
	struct bitmap_set s = { 0 };
	struct image *img = o->source_nr == 1 ? source_image(o) : NULL;
	int ret;

	if (o->source_nr != 1)
		return err_set(e, ERR_INVALID, "Copying bitmaps only possible with single source");
	if (!img || image_header(img)->version < 3)
		return err_set(e, ERR_UNSUPPORTED, "Source lacks bitmap support");
	if (o->format != FORMAT_QCOW2 || (!o->no_create && o->create.version < 3))
		return err_set(e, ERR_UNSUPPORTED, "Format driver '%s'%s does not support bitmaps",
			       format_name(o->format),
			       o->format == FORMAT_QCOW2 ? " in version 2" : "");
	if (disk_size(o->sources[0]) != image_geom(img)->disk_size)
		return err_set(e, ERR_INVALID,
			       "the bitmaps are of a disk of %llu bytes, and %llu are to be copied",
			       (unsigned long long)image_geom(img)->disk_size,
			       (unsigned long long)disk_size(o->sources[0]));
	ret = bitmap_set_load(&s, img, e);
	if (ret == 0)
		ret = broken_check(o, &s, e);
	bitmap_set_fini(&s);
	return ret;
}

/* One like `from`, in the target. */
static int copy_one(struct bitmap_set *to, struct bitmap_set *from, struct bitmap *b, struct err *e)
{
	bool enabled = b->entry.flags & BITMAP_AUTO;
	struct bitmap *copy;

	if (bitmap_add(to, b->entry.name, b->entry.granularity_bits, e) < 0)
		return -1;
	copy = &to->items[to->nr - 1];
	if (bitmap_merge(to, copy, from, b, e) < 0)
		return -1;
	return bitmap_enable(to, copy, enabled, e);
}

/* All of them, in memory. */
static int copy_all(const struct convert_options *o, struct bitmap_set *to, struct bitmap_set *from,
		    bool warn, struct err *e)
{
	char name[NAME_SHOWN];

	for (size_t i = 0; i < from->nr; i++) {
		struct bitmap *b = &from->items[i];
		struct err why = ERR_INIT;

		if (bitmap_usable(b, &why) == 0) {
			if (copy_one(to, from, b, e) < 0)
				return err_ctx(e, "Failed to copy bitmap '%s'", shown(b, name));
		} else if (warn) {
			warn_to(o->listener, "Skipping inconsistent bitmap '%s'", shown(b, name));
		}
	}
	return 0;
}

static int sets_load(const struct convert_options *o, struct disk *target, struct bitmap_set *to,
		     struct bitmap_set *from, struct err *e)
{
	if (bitmap_set_load(to, disk_image(target, 0), e) < 0)
		return -1;
	if (to->is_void)
		return err_set(e, ERR_UNSUPPORTED, "its bitmaps are void; bitmap --remove-all "
						   "removes them");
	return bitmap_set_load(from, source_image(o), e);
}

int convert_bitmaps_fit(const struct convert_options *o, struct disk *target,
			struct image_writer *w, struct err *e)
{
	struct bitmap_set to = { 0 }, from = { 0 };
	int ret = sets_load(o, target, &to, &from, e);

	if (ret == 0)
		ret = bitmap_set_own(&to, w, o->watch, e);
	if (ret == 0)
		ret = copy_all(o, &to, &from, false, e);
	bitmap_set_fini(&to);
	bitmap_set_fini(&from);
	return ret;
}

static int store(const struct convert_options *o, struct disk *target, struct err *e)
{
	struct image_writer *w = image_writer_new(target, o->listener, o->watch, e);
	struct bitmap_set to = { 0 }, from = { 0 };
	int ret = w ? sets_load(o, target, &to, &from, e) : -1;

	if (ret == 0)
		ret = bitmap_set_own(&to, w, o->watch, e);
	if (ret == 0)
		ret = copy_all(o, &to, &from, true, e);
	if (ret == 0)
		ret = bitmap_set_store(&to, w, o->watch, e);
	bitmap_set_fini(&to);
	bitmap_set_fini(&from);
	image_writer_free(w);
	return ret;
}

int convert_bitmaps(const struct convert_options *o, struct err *e)
{
	struct disk_options how = { .flags = DISK_WRITE | DISK_NO_BACKING,
				    .listener = o->listener, .write_flags = o->target_flags };
	struct spec s = { 0 };
	struct disk *target = NULL;
	int ret = -1;

	if (!o->target_spec && !spec_path(&s, o->target, FORMAT_QCOW2))
		return err_nomem(e);
	s.locking = o->locking;
	target = disk_open_metadata(o->target_spec ? o->target_spec : &s, &how, e);
	if (target)
		ret = store(o, target, e);
	if (target && ret < 0)
		err_ctx(e, "%s", o->target);
	disk_close(target);
	spec_fini(&s);
	return ret;
}
