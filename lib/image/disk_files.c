/* Which files the layers of a disk are made of. */
#include <stdlib.h>
#include <string.h>

#include "image/internal.h"
#include "image/policy.h"

struct disk *disk_layer_at(const struct disk *d, unsigned depth)
{
	while (d && d->depth < depth)
		d = d->backing;
	return (struct disk *)d;
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

/* Where it was not opened, it is the file that its name leads to. */
static bool data_file_is(const struct image *img, uint64_t device, uint64_t inode)
{
	struct err why = ERR_INIT;
	uint64_t of_device, of_inode;
	char *path = NULL;

	if (img->data_file || !img->geom.data_file || !img->data_file_name)
		return file_is(img->data_file, device, inode);
	if (policy_resolve(file_path(img->file), img->data_file_name, NULL, &path, &why) < 0)
		return why.code == ERR_NOMEM; /* a name that is refused leads nowhere */
	bool same = file_path_identity(path, &of_device, &of_inode) && of_device == device &&
		    of_inode == inode;

	free(path);
	return same;
}

bool disk_uses_path(const struct disk *d, const char *path)
{
	uint64_t device, inode;

	if (!file_path_identity(path, &device, &inode))
		return false;
	for (; d; d = d->backing)
		if (file_is(d->file, device, inode) ||
		    (d->image && data_file_is(d->image, device, inode)))
			return true;
	return false;
}

bool disk_layer_is_alone(const struct disk *d, unsigned depth)
{
	const struct disk *layer = disk_layer_at(d, depth);
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
