#include "ops/bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "image/bitmaps.h"
#include "image/disk.h"

/* An image that is open, and its bitmaps. */
struct open {
	struct disk *disk;
	struct image_writer *writer;
	struct bitmap_set set;
};

static void open_fini(struct open *o)
{
	bitmap_set_fini(&o->set);
	image_writer_free(o->writer);
	disk_close(o->disk);
}

static int open_disk(struct open *o, const struct spec *s, const struct bitmap_change *c,
		     unsigned flags, struct err *e)
{
	struct disk_options how = { .flags = flags | DISK_NO_BACKING,
				    .listener = c->listener };

	o->disk = disk_open_metadata(s, &how, e);
	if (!o->disk)
		return -1;
	return disk_image(o->disk, 0) ? 0
				      : err_set(e, ERR_UNSUPPORTED,
						"'%s': a raw image has no bitmaps",
						disk_name(o->disk));
}

static int open_target(struct open *o, const struct bitmap_change *c, struct err *e)
{
	if (open_disk(o, c->spec, c, DISK_WRITE, e) < 0)
		return -1;
	o->writer = image_writer_new(o->disk, c->listener, c->watch, e);
	return o->writer ? image_writer_few_check(o->writer, c->watch, e) : -1;
}

/* Void bitmaps are there for who begins by removing one, or by making it true. */
static int set_load(struct open *o, bool revive, const struct watch *watch, struct err *e)
{
	if (bitmap_set_load(&o->set, disk_image(o->disk, 0), e) < 0 ||
	    (revive && bitmap_set_revive(&o->set, o->writer, e) < 0))
		return err_hint(e, "All bitmaps of the image can be removed with --remove-all.");
	if (o->writer && bitmap_set_own(&o->set, o->writer, watch, e) < 0)
		return -1;
	if (!o->set.is_void || revive)
		return 0;
	err_set(e, ERR_UNSUPPORTED,
		"the bitmaps of '%s' are void: the disk was changed without them",
		disk_name(o->disk));
	return err_hint(e, "They can be removed with --remove or --remove-all, or made to cover the "
			   "whole disk with --as-full.");
}

static bool is_for_void(const struct bitmap_change *c)
{
	return c->steps[0].action == BITMAP_REMOVE || c->steps[0].action == BITMAP_AS_FULL;
}

/* Where bitmaps to be merged are looked for: the image itself, if it is the one that is named. */
static int open_source(struct open *o, struct open *target, const struct bitmap_change *c,
		       struct bitmap_set **set, struct err *e)
{
	*set = &target->set;
	if (!c->source || disk_uses_path(target->disk, c->source->path))
		return 0;
	if (open_disk(o, c->source, c, DISK_NO_DATA_FILE, e) < 0 || set_load(o, false, c->watch, e) < 0)
		return -1;
	*set = &o->set;
	return 0;
}

static struct bytes name_bytes(const char *name)
{
	return (struct bytes){ (const uint8_t *)name, strlen(name) };
}

static struct bitmap *find(struct bitmap_set *s, const char *name, struct err *e)
{
	struct bitmap *b = bitmap_find(s, name_bytes(name));
	char shown[128];

	if (!b)
		err_set(e, ERR_NOTFOUND, "there is no bitmap '%s'",
			text_escape(name, strlen(name), shown, sizeof shown));
	return b;
}

static int add(struct bitmap_set *s, const struct bitmap_change *c, struct err *e)
{
	unsigned bits = bitmap_granularity_bits(image_geom(s->img)->cluster_bits);

	if (c->granularity &&
	    (!is_power_of_two(c->granularity) || c->granularity >> BITMAP_GRANULARITY_MIN == 0 ||
	     c->granularity > UINT64_C(1) << BITMAP_GRANULARITY_MAX))
		return err_set(e, ERR_INVALID,
			       "the granularity must be a power of two from 512 to 2G");
	if (c->granularity)
		bits = log2_exact(c->granularity);
	return bitmap_add(s, name_bytes(c->name), bits, e);
}

static int merge(struct bitmap_set *s, struct bitmap *b, struct bitmap_set *from,
		 const char *source, struct err *e)
{
	struct bitmap *x = find(from, source, e);

	return x ? bitmap_merge(s, b, from, x, e) : -1;
}

static int import(struct bitmap_set *s, struct bitmap *b, const struct bitmap_step *step,
		  struct err *e)
{
	/* Without ranges, too, one that may not be used is refused. */
	if (bitmap_load(s, b, e) < 0)
		return -1;
	for (size_t i = 0; i < step->ranges_nr; i++)
		if (bitmap_mark(s, b, step->ranges[i].start, step->ranges[i].len, e) < 0)
			return -1;
	return 0;
}

static int step_run(struct bitmap_set *s, struct bitmap_set *from, const struct bitmap_change *c,
		    const struct bitmap_step *step, struct err *e)
{
	struct bitmap *b = NULL;

	if (step->action != BITMAP_ADD && !(b = find(s, c->name, e)))
		return -1;
	switch (step->action) {
	case BITMAP_ADD:
		return add(s, c, e);
	case BITMAP_REMOVE:
		return bitmap_remove(s, b, e);
	case BITMAP_CLEAR:
		return bitmap_clear(s, b, e);
	case BITMAP_ENABLE:
		return bitmap_enable(s, b, true, e);
	case BITMAP_DISABLE:
		return bitmap_enable(s, b, false, e);
	case BITMAP_MERGE:
		return merge(s, b, from, step->source, e);
	case BITMAP_AS_FULL:
		return bitmap_as_full(s, b, e);
	case BITMAP_IMPORT:
		return import(s, b, step, e);
	}
	return err_set(e, ERR_INVALID, "unknown action");
}

static int step_failed(const struct bitmap_change *c, const struct bitmap_step *step,
		       struct err *e)
{
	static const char *const words[] = {
		[BITMAP_ADD] = "add",	      [BITMAP_REMOVE] = "remove",
		[BITMAP_CLEAR] = "clear",     [BITMAP_ENABLE] = "enable",
		[BITMAP_DISABLE] = "disable", [BITMAP_MERGE] = "merge",
		[BITMAP_AS_FULL] = "as-full", [BITMAP_IMPORT] = "import",
	};
	char shown[128];

	text_escape(c->name, strlen(c->name), shown, sizeof shown);
	return err_ctx(e, "Operation %s on bitmap %s failed", words[step->action], shown);
}

int bitmap_change(const struct bitmap_change *c, struct err *e)
{
	struct open target = { 0 }, source = { 0 };
	struct bitmap_set *from;
	int ret = -1;

	if (open_target(&target, c, e) < 0)
		goto out;
	if (set_load(&target, c->steps_nr && is_for_void(c), c->watch, e) < 0) {
		step_failed(c, c->steps, e);
		goto out;
	}
	if (open_source(&source, &target, c, &from, e) < 0)
		goto out;
	ret = 0;
	for (size_t i = 0; ret == 0 && i < c->steps_nr; i++) {
		ret = step_run(&target.set, from, c, &c->steps[i], e);
		if (ret < 0)
			step_failed(c, &c->steps[i], e);
	}
	if (ret == 0)
		ret = bitmap_set_store(&target.set, target.writer, c->watch, e);
out:
	open_fini(&source);
	open_fini(&target);
	return ret;
}

int bitmap_change_remove_all(const struct bitmap_change *c, struct err *e)
{
	struct err why = ERR_INIT;
	struct open o = { 0 };
	int ret = -1;

	if (open_target(&o, c, e) < 0)
		goto out;
	if (bitmap_set_load(&o.set, disk_image(o.disk, 0), &why) < 0 && why.code == ERR_NOMEM) {
		*e = why;
		goto out;
	}
	if (err_is(&why))
		warn_to(c->listener, "%s; what the bitmaps occupied is left for check -r leaks",
			why.text);
	if (bitmap_set_own(&o.set, o.writer, c->watch, e) == 0 && bitmap_remove_all(&o.set, e) == 0)
		ret = bitmap_set_store(&o.set, o.writer, c->watch, e);
out:
	open_fini(&o);
	return ret;
}

int bitmap_check_remove_all(struct image *img, struct image_writer *w, const struct watch *watch,
			    struct err *e)
{
	struct err why = ERR_INIT;
	struct bitmap_set s = { 0 };
	int ret = 0;

	/* A directory that can't be read is no obstacle. */
	if (bitmap_set_load(&s, img, &why) == 0)
		ret = bitmap_set_own(&s, w, watch, e);
	bitmap_set_fini(&s);
	return ret;
}
