#include "image/disk.h"

#include <stdlib.h>

#include "base/align.h"
#include "image/internal.h"

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

struct disk *disk_layer(struct disk *d, unsigned depth)
{
	return disk_layer_at(d, d->depth + depth);
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
	struct disk *layer = disk_layer_at(d, depth);

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
	struct disk *layer = disk_layer_at(d, depth);

	if (!layer)
		return "";
	if (layer->image && layer->image->data_file)
		return file_path(layer->image->data_file);
	return file_path(layer->image ? layer->image->file : layer->file);
}

struct file *disk_layer_handle(struct disk *d, unsigned depth)
{
	struct disk *layer = disk_layer_at(d, depth);

	return layer ? layer->file : NULL;
}

uint64_t disk_layer_size(const struct disk *d, unsigned depth)
{
	struct disk *layer = disk_layer_at(d, depth);

	return layer ? layer->size : 0;
}

bool disk_layer_probed(const struct disk *d, unsigned depth)
{
	const struct disk *layer = disk_layer_at(d, depth);

	return layer && layer->probed;
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
