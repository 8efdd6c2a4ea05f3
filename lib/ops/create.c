#include "ops/create.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/disk.h"
#include "image/policy.h"
#include "image/target.h"

/* Whether the two names lead to one file that exists. */
static bool same_file(const char *a, const char *b)
{
	uint64_t device_a, inode_a, device_b, inode_b;

	return file_path_identity(a, &device_a, &inode_a) &&
	       file_path_identity(b, &device_b, &inode_b) && device_a == device_b &&
	       inode_a == inode_b;
}

static int backing_words_check(const struct new_image *n, enum image_format *format,
			       struct err *e)
{
	const struct create_options *o = &n->options;

	if (n->format != FORMAT_QCOW2)
		return err_set(e, ERR_UNSUPPORTED,
			       "Backing file not supported for file format '%s'",
			       format_name(n->format));
	if (!*o->backing_name)
		return err_set(e, ERR_INVALID, "Expected backing file name, got empty string");
	if (!o->backing_format)
		return err_set(e, ERR_INVALID, "Backing file specified without backing format");
	if (!format_by_name(o->backing_format, format))
		return err_set(e, ERR_INVALID, "Unknown driver '%s' for the backing file",
			       o->backing_format);
	if (strcmp(o->backing_name, n->path) == 0)
		return err_set(e, ERR_INVALID,
			       "Trying to create an image with the same filename as the "
			       "backing file");
	return 0;
}

/* Creating truncates the new image and its data file, and the names of both may be other names of a
 * file of the chain, data files included. */
static int chain_check(const struct new_image *n, const struct disk *chain, struct err *e)
{
	AUTO_FREE char *data = NULL;

	if (disk_uses_path(chain, n->path))
		return err_set(e, ERR_INVALID,
			       "the new image and a file of its backing chain are the same file, "
			       "'%s'",
			       n->path);
	if (!n->options.data_file)
		return 0;
	if (policy_resolve(n->path, n->options.data_file, NULL, &data, e) < 0)
		return err_ctx(e, "data_file");
	if (disk_uses_path(chain, data))
		return err_set(e, ERR_INVALID,
			       "the data file and a file of the backing chain are the same file, "
			       "'%s'",
			       data);
	return 0;
}

/* Locks are not taken: a backing file may well be in use by a running guest. */
static int backing_open(struct new_image *n, const char *path, enum image_format format,
			struct err *e)
{
	struct disk_options o = { .flags = DISK_NO_DATA_FILE,
				  .listener = n->listener };
	struct spec s = { 0 };
	struct disk *d = NULL;
	int ret = -1;

	if (!spec_path(&s, path, format)) {
		err_nomem(e);
		goto out;
	}
	s.force_share = true;
	d = disk_open_metadata(&s, &o, e);
	if (!d || chain_check(n, d, e) < 0)
		goto out;
	if (disk_layers(d) >= CHAIN_DEPTH_MAX) {
		err_set(e, ERR_INVALID,
			"the backing chain has %u layers already, and no image could be opened over it",
			CHAIN_DEPTH_MAX);
		goto out;
	}
	n->backing_size = disk_size(d);
	if (!n->has_size)
		n->options.size = n->backing_size;
	n->has_size = true;
	ret = 0;
out:
	disk_close(d);
	spec_fini(&s);
	return ret;
}

/* Whether a file of one name would be the file of the other: as they are, or in the same directory by
 * the same name. */
static bool same_place(const char *a, const char *b)
{
	const char *base_a = strrchr(a, '/'), *base_b = strrchr(b, '/');
	AUTO_FREE char *dir_a = base_a ? strndup(a, (size_t)(base_a - a) + 1) : strdup(".");
	AUTO_FREE char *dir_b = base_b ? strndup(b, (size_t)(base_b - b) + 1) : strdup(".");

	if (same_file(a, b))
		return true;
	return dir_a && dir_b && strcmp(base_a ? base_a + 1 : a, base_b ? base_b + 1 : b) == 0 &&
	       same_file(dir_a, dir_b);
}

/* Where the chain is not looked at, as much as this: creating would truncate the image that was to be the
 * backing file, and leave one that is its own. */
static int itself_check(const struct new_image *n, struct err *e)
{
	AUTO_FREE char *backing = policy_combine(n->path, n->options.backing_name);

	if (!backing)
		return err_nomem(e);
	return same_place(n->path, backing)
		       ? err_set(e, ERR_INVALID, "the new image and its backing file are the same file, '%s'",
				 n->path)
		       : 0;
}

static int backing_prepare(struct new_image *n, struct err *e)
{
	enum image_format format;
	char *path = NULL;
	int ret;

	if (backing_words_check(n, &format, e) < 0)
		return -1;
	if (n->backing_unchecked)
		return itself_check(n, e);
	if (policy_resolve(n->path, n->options.backing_name, NULL, &path, e) < 0)
		return -1;
	ret = backing_open(n, path, format, e);
	free(path);
	return ret;
}

int new_image_prepare(struct new_image *n, struct err *e)
{
	if (n->options.backing_name && backing_prepare(n, e) < 0)
		return -1;
	if (!n->has_size)
		return err_set(e, ERR_INVALID, "Image creation needs a size parameter");
	return 0;
}

enum image_format new_image_probe_backing(const char *path, const char *name)
{
	struct err ignored = ERR_INIT;
	struct disk_options o = { .flags = DISK_NO_BACKING | DISK_NO_DATA_FILE };
	enum image_format format = FORMAT_PROBE;
	struct spec s = { 0 };
	struct disk *d = NULL;
	char *full = NULL;

	if (policy_resolve(path, name, NULL, &full, &ignored) == 0 && spec_path(&s, full, FORMAT_PROBE)) {
		s.force_share = true;
		d = disk_open_metadata(&s, &o, &ignored);
	}
	if (d)
		format = disk_format(d);
	disk_close(d);
	spec_fini(&s);
	free(full);
	return format;
}

static int raw_fill(struct target *t, const struct new_image *n, struct err *e)
{
	uint64_t size = n->options.size;
	enum preallocation how = n->options.preallocation;

	if (!size)
		return 0;
	if (target_raw_prepare(t, size, how, n->watch, e) < 0)
		return -1;
	return how == PREALLOCATION_FULL ? file_flush(t->file, e) : 0;
}

static int options_check(const struct new_image *n, struct err *e)
{
	if (n->format == FORMAT_QCOW2)
		return create_check(&n->options, e);
	if (n->options.size > FILE_OFFSET_MAX - SECTOR_SIZE)
		return err_set(e, ERR_INVALID, "the size is out of range");
	if (n->options.preallocation == PREALLOCATION_METADATA)
		return err_set(e, ERR_INVALID, "Unsupported preallocation mode: metadata");
	return 0;
}

/* Creating truncates the data file: it may not be the image or, where the chain was not looked at,
 * the backing file. */
static int data_file_check(const struct new_image *n, const char *data, struct err *e)
{
	AUTO_FREE char *backing = NULL;

	if (strcmp(data, n->path) == 0 || same_file(data, n->path))
		return err_set(e, ERR_INVALID,
			       "the data file and the image are the same file, '%s'", data);
	if (n->options.backing_name) {
		backing = policy_combine(n->path, n->options.backing_name);
		if (!backing)
			return err_nomem(e);
		if (same_file(data, backing))
			return err_set(e, ERR_INVALID,
				       "the data file and the backing file are the same file, "
				       "'%s'",
				       data);
	}
	return 0;
}

static int target_fill(struct target *t, const struct new_image *n, struct err *e)
{
	struct create_options o = n->options;

	o.watch = n->watch;
	if (n->exclusive && !t->made)
		return err_set(e, ERR_INVALID, "the file exists already");
	/* nobody may be using what we are about to truncate */
	if (target_lock(t, LOCKING_AUTO, n->listener, e) < 0 || target_empty(t, &n->options, e) < 0)
		return -1;
	return n->format == FORMAT_QCOW2 ? create_image(t->file, &o, e)
					 : raw_fill(t, n, e);
}

static int image_check(const struct new_image *n, struct err *e)
{
	AUTO_FREE char *data = NULL;

	if (options_check(n, e) < 0)
		return -1;
	if (n->format != FORMAT_QCOW2 || !n->options.data_file)
		return 0;
	if (policy_resolve(n->path, n->options.data_file, NULL, &data, e) < 0)
		return err_ctx(e, "data_file");
	return data_file_check(n, data, e);
}

int new_image_check(struct new_image *n, struct err *e)
{
	if (image_check(n, e) < 0)
		return -1;
	return n->format == FORMAT_QCOW2 ? create_encryption_measure(&n->options.encryption, e) : 0;
}

int new_image_make(const struct new_image *n, struct err *e)
{
	struct target t = { 0 };

	if (image_check(n, e) < 0)
		return err_ctx(e, "%s", n->path);
	if (target_open(&t, n->path, 0, false, e) < 0)
		return target_close(&t, -1, e); /* it names the file itself */
	if (target_close(&t, target_fill(&t, n, e), e) < 0)
		return err_ctx(e, "%s", n->path);
	return 0;
}
