/* What is refused, before anything is changed. */
#include <inttypes.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "image/amend.h"
#include "image/image.h"
#include "image/policy.h"
#include "image/resize.h"
#include "ops/amend_internal.h"
#include "ops/bitmap.h"

/* A data file that was moved is not where the image says. */
static bool data_file_moves(const struct spec *s, const struct amend_options *o)
{
	return o->data_file && !s->data_file;
}

struct disk_options amend_disk_options(const struct spec *s, const struct amend_options *o)
{
	unsigned no_data = data_file_moves(s, o) ? DISK_NO_DATA_FILE : 0;

	return (struct disk_options){
		.flags = DISK_WRITE | DISK_NO_BACKING | no_data,
		.write_flags = o->write_flags,
		.listener = o->listener,
		.watch = o->watch,
	};
}

struct key_change amend_key_change(const struct spec *s, const struct amend_options *o)
{
	struct key_change c = o->keys ? *o->keys : (struct key_change){ 0 };

	c.force = o->force;
	c.unlock = s->secret.p ? s->secret : s->chain_secret;
	return c;
}

/* --- what was asked for --- */

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

static unsigned version_then(const struct amend_options *o, const struct header *h)
{
	return o->has_version ? o->version : h->version;
}

static unsigned order_then(const struct amend_options *o, const struct header *h)
{
	return o->has_refcount_order ? o->refcount_order : h->refcount_order;
}

static int version_check(const struct amend_options *o, const struct header *h, struct err *e)
{
	unsigned version = version_then(o, h), order = order_then(o, h);
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

/* --- the external data file --- */

static bool is_file(const struct file *f, const char *path)
{
	uint64_t device, inode, its_device, its_inode;

	return file_path_identity(path, &device, &inode) &&
	       file_identity(f, &its_device, &its_inode) && device == its_device &&
	       inode == its_inode;
}

/* One of the files that stand behind the image. Where they can't be opened nobody knows. */
static bool is_behind(const struct spec *s, const char *path)
{
	const struct disk_options how = { .flags = DISK_NO_DATA_FILE };
	struct err ignored = ERR_INIT;
	struct spec quiet = *s;
	struct disk *d;
	bool uses;

	quiet.locking = LOCKING_OFF; /* this process has the image open for writing */
	d = disk_open_metadata(&quiet, &how, &ignored);
	uses = d && disk_layer(d, 1) && disk_uses_path(disk_layer(d, 1), path);
	disk_close(d);
	return uses;
}

/* A name that can't be opened the next time would lock everybody out. */
static int data_file_name_check(const struct spec *s, const struct amend_options *o,
				struct disk *d, struct err *e)
{
	AUTO_FREE char *path = NULL;
	uint64_t device, inode;
	char shown[256];

	if (!*o->data_file)
		return 0;
	if (policy_resolve(s->path, o->data_file, NULL, &path, e) < 0)
		return err_ctx(e, "data_file");
	text_escape(path, strlen(path), shown, sizeof shown);
	if (is_file(disk_layer_handle(d, 0), path))
		return err_set(e, ERR_INVALID,
			       "the data file and the image are the same file, '%s'", shown);
	if (is_behind(s, path))
		return err_set(e, ERR_INVALID,
			       "the data file and a backing file are the same file, '%s'", shown);
	if (!file_path_identity(path, &device, &inode))
		warn_to(o->listener, "data_file: there is no '%s' as yet, and without it the image "
				     "can't be opened", shown);
	return 0;
}

static int data_file_check(const struct spec *s, const struct amend_options *o, struct disk *d,
			   struct err *e)
{
	struct image *img = disk_image(d, 0);
	const struct header *h = image_header(img);

	if (o->has_data_file_raw && o->data_file_raw &&
	    !(h->autoclear_features & AUTOCLEAR_DATA_FILE_RAW))
		return err_set(e, ERR_INVALID, "data_file_raw cannot be set on an existing image");
	if (!o->data_file)
		return 0;
	if (image_amend_data_file_check(img, o->data_file, e) < 0)
		return -1;
	if (!*o->data_file && o->has_size && !s->data_file)
		return err_set(e, ERR_INVALID,
			       "the size can't change without the data file, which data_file= "
			       "leaves without a name");
	return data_file_name_check(s, o, d, e);
}

/* --- the image, as it will be --- */

static bool is_upgraded(const struct amend_options *o, const struct header *h)
{
	return h->version < 3 && version_then(o, h) >= 3;
}

bool amend_check_is_long(const struct amend_options *o)
{
	return o->has_version && (o->version == 2 || o->has_refcount_order);
}

/* Before the disk becomes shorter its counts are looked at. */
static int shrink_check(const struct amend_options *o, struct disk *d, struct image_writer *w,
			const struct watch *watch, struct err *e)
{
	const struct watch quiet = { .stop = watch ? watch->stop : NULL };
	bool first = !(o->keys || o->has_version || o->has_refcount_order || o->has_lazy ||
		       o->data_file || o->has_data_file_raw);

	if (first || !o->has_size || o->size >= disk_size(d))
		return 0;
	return image_writer_counts_check(w, &quiet, e);
}

/* What takes time is looked at only where something else comes before it: a first change that is
 * refused has changed nothing. */
static int tables_check(const struct spec *s, const struct amend_options *o, struct disk *d,
			struct image_writer *w, const struct watch *watch, struct err *e)
{
	const struct header *h = image_header(disk_image(d, 0));
	const struct resize_options to = { .size = o->has_size ? o->size : disk_size(d) };
	const struct amend_before_v2 then = { to.size, order_then(o, h), o->force };
	const struct key_change keys = amend_key_change(s, o);
	bool up = is_upgraded(o, h), down = version_then(o, h) < 3;
	struct watch_part first, second;

	if (o->has_size && (image_resize_check(d, &to, w, up, e) < 0 ||
			    shrink_check(o, d, w, watch, e) < 0))
		return -1;
	if (o->keys && up && amend_keys_check(w, &keys, watch, e) < 0)
		return -1;
	if (o->has_refcount_order && (o->keys || up) &&
	    image_amend_refcount_check(w, o->refcount_order,
				       watch_part_of(&first, watch, 0, 1, 2), e) < 0)
		return -1;
	if (!down)
		return 0;
	if (o->force && bitmap_check_remove_all(disk_image(d, 0), w, watch, e) < 0)
		return -1;
	return image_amend_downgrade_check(w, &then, watch_part_of(&second, watch, 1, 2, 2), e);
}

static int disk_check(const struct spec *s, const struct amend_options *o, struct disk *d,
		      const struct watch *watch, struct err *e)
{
	const struct key_change keys = amend_key_change(s, o);
	struct image *img = disk_image(d, 0);
	struct image_writer *w;
	int ret;

	if (!img)
		return err_set(e, ERR_UNSUPPORTED,
			       "'%s': a raw image has nothing that could be amended", disk_name(d));
	if (backing_check(o, img, e) < 0 || data_file_check(s, o, d, e) < 0 ||
	    version_check(o, image_header(img), e) < 0 || size_check(o, d, e) < 0 ||
	    (o->keys && amend_keys_image_check(img, &keys, e) < 0) || disk_unlock(d, o->watch, e) < 0)
		return -1;
	w = image_writer_new(d, o->listener, watch, e);
	ret = w ? tables_check(s, o, d, w, watch, e) : -1;
	image_writer_free(w);
	return ret;
}

/* As the image will be found when its size is changed: with the chain behind it, and the data file
 * that it names by then. */
static struct disk *open_for_size(const struct spec *s, const struct amend_options *o,
				  struct err *e)
{
	struct disk_options how = amend_disk_options(s, o);
	struct spec with = *s, data = { 0 };
	struct disk *d;

	if (data_file_moves(s, o) && *o->data_file) {
		if (policy_resolve(s->path, o->data_file, NULL, &data.path, e) < 0) {
			err_ctx(e, "data_file");
			return NULL;
		}
		with.data_file = &data;
		how.flags &= ~(unsigned)DISK_NO_DATA_FILE;
	}
	how.flags &= ~(unsigned)DISK_NO_BACKING;
	d = disk_open_metadata(&with, &how, e);
	spec_fini(&data);
	return d;
}

int amend_check(const struct spec *s, const struct amend_options *o, const struct watch *watch,
		struct amend_found *found, struct err *e)
{
	const struct disk_options how = amend_disk_options(s, o);
	struct disk *d = o->has_size ? open_for_size(s, o, e) : disk_open_metadata(s, &how, e);
	int ret = d ? disk_check(s, o, d, watch, e) : -1;

	found->bitmaps = ret == 0 && image_header(disk_image(d, 0))->has_bitmaps_ext;
	disk_close(d);
	return ret;
}
