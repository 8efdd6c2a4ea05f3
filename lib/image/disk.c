#include "image/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "image/internal.h"
#include "image/policy.h"

void disk_close(struct disk *d)
{
	while (d) {
		struct disk *backing = d->backing;

		if (d->image)
			image_close(d->image);
		else if (d->file)
			file_drop(d->file);
		free(d->name);
		free(d);
		d = backing;
	}
}

static struct disk *layer_at(const struct disk *d, unsigned depth)
{
	while (d && d->depth < depth)
		d = d->backing;
	return (struct disk *)d;
}

struct disk *disk_layer(struct disk *d, unsigned depth)
{
	return layer_at(d, d->depth + depth);
}

uint64_t disk_size(const struct disk *d)
{
	return d->size;
}

enum image_format disk_format(const struct disk *d)
{
	return d->format;
}

const char *disk_name(const struct disk *d)
{
	return d->name;
}

struct image *disk_image(struct disk *d, unsigned depth)
{
	struct disk *layer = layer_at(d, depth);

	return layer ? layer->image : NULL;
}

unsigned disk_layers(const struct disk *d)
{
	unsigned nr = 0;

	for (; d; d = d->backing)
		nr++;
	return nr;
}

const char *disk_layer_file(const struct disk *d, unsigned depth)
{
	struct disk *layer = layer_at(d, depth);

	if (!layer)
		return "";
	if (layer->image && layer->image->data_file)
		return file_path(layer->image->data_file);
	return file_path(layer->image ? layer->image->file : layer->file);
}

struct file *disk_layer_handle(struct disk *d, unsigned depth)
{
	struct disk *layer = layer_at(d, depth);

	return layer ? layer->file : NULL;
}

uint64_t disk_layer_size(const struct disk *d, unsigned depth)
{
	struct disk *layer = layer_at(d, depth);

	return layer ? layer->size : 0;
}

bool disk_uses_file(const struct disk *d, const struct file *f)
{
	for (; d; d = d->backing) {
		if (file_same(d->image ? d->image->file : d->file, f))
			return true;
		if (d->image && d->image->data_file && file_same(d->image->data_file, f))
			return true;
	}
	return false;
}

static bool file_is(const struct file *f, uint64_t device, uint64_t inode)
{
	uint64_t of_device, of_inode;

	return f && file_identity(f, &of_device, &of_inode) && of_device == device &&
	       of_inode == inode;
}

bool disk_uses_path(const struct disk *d, const char *path)
{
	uint64_t device, inode;

	if (!file_path_identity(path, &device, &inode))
		return false;
	for (; d; d = d->backing)
		if (file_is(d->file, device, inode) ||
		    (d->image && file_is(d->image->data_file, device, inode)))
			return true;
	return false;
}

bool disk_layer_probed(const struct disk *d, unsigned depth)
{
	const struct disk *layer = layer_at(d, depth);

	return layer && layer->probed;
}

bool disk_layer_is_alone(const struct disk *d, unsigned depth)
{
	const struct disk *layer = layer_at(d, depth);
	const struct file *files[2] = { layer->file,
					layer->image ? layer->image->data_file : NULL };

	if (files[1] && file_same(files[0], files[1]))
		return false;
	for (; d; d = d->backing)
		for (unsigned i = 0; d != layer && i < 2; i++)
			if (files[i] && (file_same(d->file, files[i]) ||
					 (d->image && d->image->data_file &&
					  file_same(d->image->data_file, files[i]))))
				return false;
	return true;
}

int disk_find_layer(struct disk *d, const char *name, unsigned *depth, struct err *e)
{
	uint64_t device, inode;

	*depth = 0;
	for (; d->backing; d = d->backing) {
		const char *stored = d->image ? d->image->backing_name : NULL;
		char *path = policy_combine(file_path(d->file), name);

		if (!path)
			return err_nomem(e);
		bool same = (stored && strcmp(stored, name) == 0) ||
			    (file_path_identity(path, &device, &inode) &&
			     file_is(d->backing->file, device, inode));

		free(path);
		if (!same)
			continue;
		*depth = d->backing->depth;
		return 0;
	}
	return 0;
}

static int layer_next(struct disk *d, uint64_t guest, uint64_t max_len, struct extent *x,
		      struct err *e)
{
	x->len = 0;
	if (guest >= d->size || !max_len)
		return err_set(e, ERR_INVALID, "offset %llu is outside the disk",
			       (unsigned long long)guest);
	if (d->ops->next(d, guest, MIN(max_len, d->size - guest), x, e) < 0)
		return d->depth ? err_ctx(e, "'%s'", d->name) : -1;
	x->depth = (uint16_t)d->depth;
	return 0;
}

int disk_next(struct disk *d, uint64_t guest, uint64_t max_len, struct extent *x,
	      struct err *e)
{
	for (;; d = d->backing) {
		if (layer_next(d, guest, max_len, x, e) < 0)
			return -1;
		if (x->kind != EXTENT_ABSENT || !d->backing || guest >= d->backing->size)
			return 0;
		max_len = MIN(x->len, d->backing->size - guest);
	}
}

int disk_next_above(struct disk *d, unsigned depth_end, uint64_t guest, uint64_t max_len,
		    struct extent *x, struct err *e)
{
	for (;; d = d->backing) {
		if (layer_next(d, guest, max_len, x, e) < 0)
			return -1;
		if (x->kind != EXTENT_ABSENT || d->depth + 1 >= depth_end || !d->backing)
			return 0;
		if (guest >= d->backing->size) {
			x->kind = EXTENT_ZERO;
			return 0;
		}
		max_len = MIN(x->len, d->backing->size - guest);
	}
}

int disk_alike(struct disk *a, struct disk *b, uint64_t guest, uint64_t max_len, bool *alike,
	       uint64_t *len, struct err *e)
{
	*alike = false;
	*len = max_len;
	if (!a->image || !b->image || !file_same(a->image->file, b->image->file))
		return 0;
	return map_alike(&a->map, &b->map, guest, max_len, alike, len, e);
}
