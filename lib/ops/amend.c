#include "ops/amend.h"

#include <inttypes.h>
#include <string.h>

#include "base/align.h"
#include "image/amend.h"
#include "image/disk.h"
#include "image/image.h"
#include "ops/bitmap.h"
#include "ops/resize.h"

static struct disk *metadata_open(const struct spec *s, const struct amend_options *o,
				  struct err *e)
{
	const struct disk_options how = {
		.flags = DISK_WRITE | DISK_NO_BACKING,
		.write_flags = o->write_flags,
		.listener = o->listener,
	};

	return disk_open_metadata(s, &how, e);
}

/* --- what is refused --- */

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static int backing_check(const struct amend_options *o, const struct image *img, struct err *e)
{
	bool same = (!o->backing_file || same_text(o->backing_file, image_backing_name(img))) &&
		    (!o->backing_format || same_text(o->backing_format, image_backing_format(img)));

	if (same)
		return 0;
	err_set(e, ERR_INVALID, "Cannot amend the backing file");
	return err_hint(e, "qcow2-rebase changes it");
}

static int data_file_check(const struct amend_options *o, const struct header *h, struct err *e)
{
	if (o->data_file && !(h->incompatible_features & INCOMPATIBLE_DATA_FILE))
		return err_set(e, ERR_INVALID,
			       "data_file can only be set for images that use an external data file");
	if (o->has_data_file_raw && o->data_file_raw &&
	    !(h->autoclear_features & AUTOCLEAR_DATA_FILE_RAW))
		return err_set(e, ERR_INVALID, "data_file_raw cannot be set on an existing image");
	return 0;
}

static int version_check(const struct amend_options *o, const struct header *h, struct err *e)
{
	unsigned version = o->has_version ? o->version : h->version;
	unsigned order = o->has_refcount_order ? o->refcount_order : h->refcount_order;
	bool most = h->version < 3 && version < 3;

	if (order != 4 && most)
		return err_set(e, ERR_INVALID,
			       "Refcount widths other than 16 bits need version 3 (use compat=1.1)");
	if (o->has_lazy && o->lazy && version < 3)
		return err_set(e, ERR_INVALID,
			       "Lazy refcounts need version 3 (use compat=1.1)");
	if (order != 4 && version < 3)
		return err_set(e, ERR_INVALID,
			       "compat=0.10 needs refcounts of 16 bits; these have %u bits "
			       "(refcount_bits=16 changes that)",
			       1u << order);
	return 0;
}

static int size_check(const struct amend_options *o, const struct disk *d, struct err *e)
{
	if (!o->has_size)
		return 0;
	if (!o->size || o->size % 512)
		return err_set(e, ERR_INVALID, "The new size must be a multiple of 512, and not 0");
	if (o->size < disk_size(d) && !o->force)
		return err_set(e, ERR_INVALID,
			       "the disk would become shorter, %" PRIu64 " instead of %" PRIu64
			       " bytes, and lose what lies behind its new end; use --force if that "
			       "is meant",
			       o->size, disk_size(d));
	return 0;
}

static int all_check(const struct amend_options *o, struct disk *d, struct err *e)
{
	const struct image *img = disk_image(d, 0);

	if (!img)
		return err_set(e, ERR_UNSUPPORTED,
			       "'%s': a raw image has nothing that could be amended", disk_name(d));
	return backing_check(o, img, e) < 0 || data_file_check(o, image_header(img), e) < 0 ||
			       version_check(o, image_header(img), e) < 0 || size_check(o, d, e) < 0
		       ? -1
		       : 0;
}

/* --- the changes --- */

static int refcount_order_change(struct image_writer *w, const struct amend_options *o,
				 struct err *e)
{
	return image_amend_refcount_order(w, o->refcount_order, o->watch, e);
}

static int not_raw_change(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return image_amend_not_raw(w, e);
}

static int data_file_change(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return image_amend_data_file(w, o->data_file, e);
}

static int lazy_change(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return image_amend_lazy(w, o->lazy, e);
}

static int keys_change(const struct spec *s, const struct amend_options *o, struct err *e)
{
	struct key_change c = *o->keys;
	struct disk *d = metadata_open(s, o, e);
	int ret = -1;

	c.force = o->force;
	c.unlock = s->secret.p ? s->secret : s->chain_secret;
	if (d)
		ret = amend_keys(d, &c, o->listener, e);
	disk_close(d);
	return ret;
}

static int size_change(const struct spec *s, const struct amend_options *o, struct err *e)
{
	struct resize_options r = { .size = o->size };
	struct disk *d = resize_open(s, o->listener, e);
	int ret = -1;

	if (d)
		ret = o->size == disk_size(d) ? 0 : resize_disk(d, &r, o->listener, e);
	disk_close(d);
	return ret;
}

typedef int change_fn(struct image_writer *w, const struct amend_options *o, struct err *e);
typedef struct disk *open_fn(const struct spec *s, const struct disk_options *o, struct err *e);

static int change_with(open_fn *opens, const struct spec *s, const struct amend_options *o,
		       change_fn *make, struct err *e)
{
	const struct disk_options how = {
		.flags = DISK_WRITE | DISK_NO_BACKING,
		.write_flags = o->write_flags,
		.listener = o->listener,
	};
	struct disk *d = opens(s, &how, e);
	struct image_writer *w = d ? image_writer_new(d, o->listener, o->watch, e) : NULL;
	int ret = w ? make(w, o, e) : -1;

	image_writer_free(w);
	disk_close(d);
	return ret;
}

/* Each change finds the image as the one before has left it. */
static int change(const struct spec *s, const struct amend_options *o, change_fn *make,
		  struct err *e)
{
	return change_with(disk_open_metadata, s, o, make, e);
}

static int upgrade_change(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return image_amend_upgrade(w, e);
}

static int downgrade_check(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return image_amend_downgrade_check(w, o->force, o->watch, e);
}

static int downgrade_change(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return image_amend_downgrade(w, o->watch, e);
}

/* Clusters of zeros may have to be encrypted: the secret is needed, and asked for at once. Bitmaps go
 * only when all else is fine. */
static int downgrade(const struct spec *s, const struct amend_options *o, bool bitmaps,
		     struct err *e)
{
	const struct bitmap_change drop = { .spec = s, .listener = o->listener };
	struct amend_options part = *o;
	struct watch_part judge, make;

	part.watch = watch_part_of(&judge, o->watch, 0, 1, 4);
	if (change_with(disk_open, s, &part, downgrade_check, e) < 0 ||
	    (bitmaps && bitmap_change_remove_all(&drop, e) < 0))
		return -1;
	part.watch = watch_part_of(&make, o->watch, 1, 4, 4);
	return change_with(disk_open, s, &part, downgrade_change, e);
}

/* In the order of (15): upgrades first and downgrades last, so that steps between them may use what
 * version 3 has. Two of them take long, and share the progress. */
static int changes_make(const struct spec *s, const struct amend_options *o, bool bitmaps,
			struct err *e)
{
	const struct {
		bool wanted;
		change_fn *make;
	} steps[] = {
		{ o->has_refcount_order, refcount_order_change },
		{ o->has_data_file_raw && !o->data_file_raw, not_raw_change },
		{ o->data_file, data_file_change },
		{ o->has_lazy, lazy_change },
	};

	bool down = o->has_version && o->version == 2;
	unsigned parts = MAX(1u, (unsigned)o->has_refcount_order + down);
	struct amend_options counts = *o, last = *o;
	struct watch_part first, second;

	counts.watch = watch_part_of(&first, o->watch, 0, 1, parts);
	last.watch = watch_part_of(&second, o->watch, parts - down, parts, parts);
	if ((o->has_version && o->version == 3 && change(s, o, upgrade_change, e) < 0) ||
	    (o->keys && keys_change(s, o, e) < 0))
		return -1;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (steps[i].wanted && change(s, &counts, steps[i].make, e) < 0)
			return -1;
	if (o->has_size && size_change(s, o, e) < 0)
		return -1;
	return down ? downgrade(s, &last, bitmaps, e) : 0;
}

int amend(const struct spec *s, const struct amend_options *o, struct err *e)
{
	struct disk *d = metadata_open(s, o, e);
	int ret = d ? all_check(o, d, e) : -1;
	bool bitmaps = ret == 0 && image_header(disk_image(d, 0))->has_bitmaps_ext;

	disk_close(d);
	watch_progress(o->watch, 0, 1);
	if (ret < 0 || changes_make(s, o, bitmaps, e) < 0)
		return -1;
	watch_progress(o->watch, 1, 1);
	return 0;
}
