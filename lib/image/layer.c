/* Opening one layer of a backing chain: an image or a raw file, and the snapshot that is
 * asked for. */
#include "image/layer.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"

/* Whether this layer is one that will be changed. */
static bool is_written(const struct chain *c, unsigned depth)
{
	const struct disk_options *o = c->options;

	return depth == 0 ? o->flags & DISK_WRITE : depth == o->write_depth;
}

int disk_file_lock(struct file *f, const struct spec *s, bool write,
		   const struct listener *l, struct err *e)
{
	unsigned uses = PERMISSION_READ,
		 shares = PERMISSION_READ | PERMISSION_WRITE_UNCHANGED;

	if (write)
		uses |= PERMISSION_WRITE | PERMISSION_RESIZE;
	else if (s && s->force_share)
		shares = ~0u;
	return file_lock(f, uses, shares, s ? s->locking : LOCKING_AUTO, l, e);
}

/* Layers may show the same data file, but none may be the data of another. */
static int data_file_check(const struct chain *c, const struct file *data, struct err *e)
{
	for (const struct disk *d = c->top; d; d = d->backing)
		if (file_same(d->file, data))
			return err_set(e, ERR_CORRUPT,
				       "the data file is layer %u of the backing chain",
				       d->depth);
	return 0;
}

/* Who says how an image is encrypted expects it to be so. */
static int format_check(const struct image *img, const struct spec *s, struct err *e)
{
	static const char *const names[] = { "none", "aes", "luks" };
	uint32_t method = img->header.crypt_method,
		 said = s->is_luks ? CRYPT_LUKS : CRYPT_AES;

	if (!s->has_encryption || method == said)
		return 0;
	return err_set(e, ERR_INVALID,
		       "encrypt.format is %s, and the image's encryption is %s",
		       names[said], names[method]);
}

static bool bytes_equal(struct bytes b, const char *text)
{
	return b.n == strlen(text) && (!b.n || !memcmp(b.p, text, b.n));
}

/* Id first across all entries, then name (8.2). */
static const struct snapshot_entry *snapshot_find(const struct snapshot_entry *all,
						  uint32_t nr, const struct disk_options *o)
{
	if (o->snapshot) {
		for (uint32_t i = 0; i < nr; i++)
			if (bytes_equal(all[i].id, o->snapshot))
				return &all[i];
		for (uint32_t i = 0; i < nr; i++)
			if (bytes_equal(all[i].name, o->snapshot))
				return &all[i];
		return NULL;
	}
	for (uint32_t i = 0; i < nr; i++)
		if ((!o->snapshot_id || bytes_equal(all[i].id, o->snapshot_id)) &&
		    (!o->snapshot_name || bytes_equal(all[i].name, o->snapshot_name)))
			return &all[i];
	return NULL;
}

static int snapshot_select(struct disk *d, const struct disk_options *o, struct err *e)
{
	const struct snapshot_entry *all, *s;
	const char *what = o->snapshot      ? o->snapshot
			   : o->snapshot_id ? o->snapshot_id
					    : o->snapshot_name;
	uint32_t nr;

	if (!what)
		return 0;
	if (image_snapshots(d->image, &all, &nr, e) < 0)
		return -1;
	s = snapshot_find(all, nr, o);
	if (!s)
		return o->snapshot_id && o->snapshot_name
			       ? err_set(e, ERR_NOTFOUND,
					 "Failed to load snapshot: there is none with the id '%s' "
					 "and the name '%s'",
					 o->snapshot_id, o->snapshot_name)
			       : err_set(e, ERR_NOTFOUND,
					 "Failed to load snapshot: there is none with the id or "
					 "name '%s'",
					 what);
	if (image_snapshot_map(d->image, s, &d->map, e) < 0)
		return err_ctx(e, "Failed to load snapshot '%s'", what);
	if (s->has_disk_size && s->disk_size > FILE_OFFSET_MAX - SECTOR_SIZE)
		return err_set(e, ERR_CORRUPT, "snapshot '%s': disk size %llu", what,
			       (unsigned long long)s->disk_size);
	if (s->has_disk_size)
		d->size = align_down(s->disk_size, SECTOR_SIZE);
	return 0;
}

static int image_layer_open(struct disk *d, struct file *f, const struct spec *s,
			    const struct chain *c, struct err *e)
{
	const struct disk_options *o = c->options;
	unsigned flags = o->flags & DISK_NO_DATA_FILE ? IMAGE_NO_DATA_FILE : 0;

	if (is_written(c, d->depth))
		flags |= IMAGE_WRITE;
	d->ops = &disk_image_ops;
	d->image = image_open(f, s, flags, o->listener, e);
	if (!d->image || format_check(d->image, s, e) < 0)
		return -1;
	d->file = d->image->file;
	d->size = d->image->geom.disk_size;
	d->map = image_map(d->image);
	if (image_guest_file(d->image))
		d->holes = hole_map_over(image_guest_file(d->image));
	/* A hole of the file is zeros in the file; decrypted it would be noise. */
	if (!d->holes.file || image_is_encrypted(d->image) ||
	    ((d->flags & DISK_HOLES_IF_SPARSE) && !image_looks_preallocated(d->image)))
		d->flags &= ~(unsigned)DISK_HOLES;
	if (d->image->data_file && data_file_check(c, d->image->data_file, e) < 0)
		return -1;
	if (d->depth == 0 && snapshot_select(d, o, e) < 0)
		return -1;
	return 0;
}

static int raw_layer_open(struct disk *d, struct file *f, const struct spec *s,
			  const struct chain *c, struct err *e)
{
	const struct disk_options *o = c->options;
	uint64_t end = file_size(f);

	d->ops = &disk_raw_ops;
	d->file = f;
	d->holes = hole_map_over(f);
	d->window_off = s->window_off;
	d->window_fixed = s->has_window_len;
	if (d->depth == 0 && (o->snapshot || o->snapshot_id || o->snapshot_name))
		return err_set(e, ERR_UNSUPPORTED, "a raw image has no snapshots");
	if (spec_window_check(s, end, e) < 0)
		return -1;
	d->size = align_up(s->has_window_len ? s->window_len : end - s->window_off,
			   SECTOR_SIZE);
	if (d->size > FILE_OFFSET_MAX - SECTOR_SIZE)
		return err_set(e, ERR_UNSUPPORTED, "a disk of %llu bytes is too large",
			       (unsigned long long)d->size);
	/* Who asks for nothing but its length is not in the way of a writer. */
	if (o->flags & DISK_LENGTH_ONLY)
		return file_lock(f, PERMISSION_READ, ~0u, s->locking, o->listener, e);
	return disk_file_lock(f, s, is_written(c, d->depth), o->listener, e);
}

static int loop_check(const struct chain *c, struct file *f, struct err *e)
{
	if (c->layers >= CHAIN_DEPTH_MAX)
		return err_set(e, ERR_CORRUPT, "the backing chain has more than %u layers",
			       CHAIN_DEPTH_MAX);
	for (const struct disk *d = c->top; d; d = d->backing) {
		if (file_same(d->file, f))
			return err_set(e, ERR_CORRUPT, "the backing chain is a loop");
		if (d->image && d->image->data_file && file_same(d->image->data_file, f))
			return err_set(e, ERR_CORRUPT, "it is the data file of layer %u",
				       d->depth);
	}
	return 0;
}

static unsigned layer_file_flags(const struct chain *c, const struct spec *s)
{
	if (!is_written(c, c->layers))
		return spec_file_flags(s);
	return spec_file_flags(s) | FILE_WRITE | c->options->write_flags;
}

struct disk *layer_open(struct chain *c, const struct spec *s, struct err *e)
{
	struct disk *d = calloc(1, sizeof *d);
	struct file *f = NULL;

	if (!d || !(d->name = strdup(s->name ? s->name : s->path))) {
		err_nomem(e);
		goto out;
	}
	d->depth = c->layers;
	d->flags = c->options->flags;
	d->format = s->format != FORMAT_PROBE ? s->format : c->stored;
	d->probed = d->format == FORMAT_PROBE;
	d->secret = s->secret.p ? s->secret : c->secret;
	d->master = s->master;
	d->listener = c->options->listener;
	if (!is_written(c, c->layers) || spec_write_check(s, e) == 0)
		f = file_open(s->path, layer_file_flags(c, s), e);
	if (!f || loop_check(c, f, e) < 0 ||
	    (d->probed && spec_find_format(s, f, &d->format, e) < 0))
		goto out;
	struct file *given = steal(&f);

	if (d->format == FORMAT_RAW ? raw_layer_open(d, given, s, c, e) < 0
				    : image_layer_open(d, given, s, c, e) < 0)
		goto out;
	c->layers++;
	return d;
out:
	file_drop(f);
	disk_close(d);
	return NULL;
}
