#include "ops/amend.h"

#include <string.h>

#include "base/align.h"
#include "base/secret.h"
#include "image/amend.h"
#include "image/disk.h"
#include "image/image.h"
#include "ops/amend_internal.h"
#include "ops/bitmap.h"
#include "ops/resize.h"

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

static int keys_change(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return amend_keys(w, o->keys, o->watch, e);
}

static int size_change(const struct spec *s, const struct amend_options *o, struct err *e)
{
	struct resize_options r = { .size = o->size };
	struct disk *d = resize_open(s, NULL, e); /* what there is to say was said */
	int ret = -1;

	if (d)
		ret = o->size == disk_size(d) ? 0 : resize_disk(d, &r, o->listener, o->watch, e);
	disk_close(d);
	return ret;
}

typedef int change_fn(struct image_writer *w, const struct amend_options *o, struct err *e);
typedef struct disk *open_fn(const struct spec *s, const struct disk_options *o, struct err *e);

static int change_with(open_fn *opens, const struct spec *s, const struct amend_options *o,
		       change_fn *make, struct err *e)
{
	const struct disk_options how = amend_disk_options(s, o);
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
	return image_amend_upgrade(w, o->watch, e);
}

static int downgrade_change(struct image_writer *w, const struct amend_options *o, struct err *e)
{
	return image_amend_downgrade(w, o->watch, e);
}

/* Clusters of zeros may have to be encrypted. Bitmaps go only when all else is done. */
static int downgrade(const struct spec *s, const struct amend_options *o, bool bitmaps,
		     struct err *e)
{
	const struct bitmap_change drop = { .spec = s, .listener = o->listener };

	if (bitmaps && bitmap_change_remove_all(&drop, e) < 0)
		return -1;
	return change_with(disk_open, s, o, downgrade_change, e);
}

/* Those of the steps in between. */
static int small_changes(const struct spec *s, const struct amend_options *o, struct err *e)
{
	const struct {
		bool wanted;
		change_fn *make;
	} steps[] = {
		{ o->has_data_file_raw && !o->data_file_raw, not_raw_change },
		{ o->data_file, data_file_change },
		{ o->has_lazy, lazy_change },
	};

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (steps[i].wanted && change(s, o, steps[i].make, e) < 0)
			return -1;
	return 0;
}

/* What takes long, and its share of the progress. */
struct shares {
	unsigned check, counts, down, all;
};

static struct shares shares_of(const struct amend_options *o)
{
	struct shares r = { amend_check_is_long(o), o->has_refcount_order ? 3 : 0,
			    o->has_version && o->version == 2 ? 3 : 0, 0 };

	r.all = MAX(1u, r.check + r.counts + r.down);
	return r;
}

/* In the order of (15): upgrades first and downgrades last, so that steps between them may use what
 * version 3 has. */
static int changes_make(const struct spec *s, const struct amend_options *o, bool bitmaps,
			struct err *e)
{
	struct shares part = shares_of(o);
	struct amend_options with_key = *o, counts = *o, last = *o;
	struct key_change keys = amend_key_change(s, o);
	struct watch_part first, second;

	with_key.keys = &keys;
	counts.watch = watch_part_of(&first, o->watch, part.check, part.check + part.counts,
				     part.all);
	last.watch = watch_part_of(&second, o->watch, part.check + part.counts, part.all, part.all);
	if ((o->has_version && o->version == 3 && change(s, o, upgrade_change, e) < 0) ||
	    (o->keys && change(s, &with_key, keys_change, e) < 0) ||
	    (o->has_refcount_order && change(s, &counts, refcount_order_change, e) < 0) ||
	    small_changes(s, o, e) < 0 || (o->has_size && size_change(s, o, e) < 0))
		return -1;
	return part.down ? downgrade(s, &last, bitmaps, e) : 0;
}

int amend(const struct spec *s, const struct amend_options *o, struct err *e)
{
	struct shares part = shares_of(o);
	struct luks_key *key = NULL;
	struct spec with_key = *s;
	struct amend_found found;
	struct watch_part judge;
	int ret = -1;

	/* The passphrase may be the one that goes, before other changes need the key. */
	with_key.master = &key;
	watch_progress(o->watch, 0, 1);
	if (amend_check(&with_key, o,
			watch_part_of(&judge, o->watch, 0, MAX(1u, part.check), part.all), &found,
			e) == 0)
		ret = changes_make(&with_key, o, found.bitmaps, e);
	secret_free(key);
	if (ret == 0)
		watch_progress(o->watch, 1, 1);
	return ret;
}
