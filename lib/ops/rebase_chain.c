/* The chain on which an image is to stand, and the one on which it stands. */
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "image/image.h"
#include "image/policy.h"
#include "ops/rebase_internal.h"

static bool is_at(const struct file *f, const char *path)
{
	uint64_t device, inode, its_device, its_inode;

	return f && file_identity(f, &device, &inode) &&
	       file_path_identity(path, &its_device, &its_inode) && device == its_device &&
	       inode == its_inode;
}

/* Whether `path` is the data file that the image names. It need not be open. */
static bool is_data_file(struct image *img, const char *path)
{
	AUTO_FREE char *data = NULL;
	const char *name = image_data_file_name(img);
	uint64_t device, inode, its_device, its_inode;

	if (image_data_file(img))
		return is_at(image_data_file(img), path);
	data = name ? policy_combine(file_path(image_file(img)), name) : NULL;
	return data && file_path_identity(data, &device, &inode) &&
	       file_path_identity(path, &its_device, &its_inode) && device == its_device &&
	       inode == its_inode;
}

/* The layer at s alone, and nobody is asked whether it is in use; NULL if it cannot be had. */
static struct disk *layer_peek(struct spec *s)
{
	struct disk_options o = { .flags = DISK_NO_BACKING | DISK_NO_DATA_FILE };
	struct err ignored = ERR_INIT;

	s->locking = LOCKING_OFF;
	return disk_open_metadata(s, &o, &ignored);
}

/* Makes `s` the spec of what stands behind the layer at s. False: nothing that could be opened. */
static bool layer_behind(struct spec *s)
{
	struct disk *d = layer_peek(s);
	struct image *img = d ? disk_image(d, 0) : NULL;
	const char *format = img ? image_backing_format(img) : NULL;
	enum image_format known = FORMAT_PROBE;
	struct err ignored = ERR_INIT;
	char *path = NULL;
	bool more = img && image_backing_name(img) &&
		    (!format || format_by_name(format, &known)) &&
		    policy_resolve(file_path(image_file(img)), image_backing_name(img), NULL, &path,
				   &ignored) == 0;

	disk_close(d);
	spec_fini(s);
	more = more && spec_path(s, path, known);
	free(path);
	return more;
}

int rebase_loop_check(struct disk *d, const char *path, enum image_format format,
		      struct err *e)
{
	struct image *img = disk_image(d, 0);
	struct spec s = { 0 };
	unsigned layers = 0;
	bool more = spec_path(&s, path, format);
	int ret = more ? 0 : err_nomem(e);

	for (; ret == 0 && more; more = layer_behind(&s)) {
		if (is_at(image_file(img), s.path))
			ret = err_set(e, ERR_INVALID,
				      layers ? "'%s' stands on the image itself: the backing chain "
					       "would be a loop"
					     : "'%s' is the image itself: it can't be its own "
					       "backing file",
				      path);
		else if (is_data_file(img, s.path))
			ret = err_set(e, ERR_INVALID,
				      "'%s' is the image's own data file", s.path);
		else if (++layers >= CHAIN_DEPTH_MAX)
			ret = err_set(e, ERR_INVALID,
				      "the backing chain of '%s' is a loop, or has %u layers or "
				      "more",
				      path, CHAIN_DEPTH_MAX);
	}
	spec_fini(&s);
	return ret;
}

/* Only the secrets: where the layers are their headers say. */
int rebase_secrets(struct spec *s, const struct spec *image, struct disk *old, struct err *e)
{
	const struct spec *said = image->backing;
	unsigned depth = 1, layers = disk_layers(old);

	for (; said && depth < layers; said = said->backing, depth++)
		if (is_at(disk_layer_handle(old, depth), s->path))
			break;
	for (; said && depth < layers; said = said->backing, depth++) {
		s->secret = said->secret;
		if (!said->backing || depth + 1 == layers)
			return 0;
		s->backing = calloc(1, sizeof *s->backing);
		if (!s->backing)
			return err_nomem(e);
		s = s->backing;
	}
	return 0;
}

static bool same_layer(struct disk *a, struct disk *b)
{
	struct image *one = disk_image(a, 0), *other = disk_image(b, 0);
	struct file *data = one ? image_data_file(one) : NULL;
	struct file *other_data = other ? image_data_file(other) : NULL;

	if (disk_format(a) != disk_format(b) || disk_size(a) != disk_size(b) ||
	    !data != !other_data)
		return false;
	return file_same(disk_layer_handle(a, 0), disk_layer_handle(b, 0)) &&
	       (!data || file_same(data, other_data));
}

unsigned rebase_shared_depth(struct disk *old, struct disk *new)
{
	unsigned layers = disk_layers(new), above = disk_layers(old) - MIN(layers, disk_layers(old));

	if (!above)
		return UINT_MAX;
	for (unsigned i = 0; i < layers; i++)
		if (!same_layer(disk_layer(old, above + i), disk_layer(new, i)))
			return UINT_MAX;
	return above;
}
