#include "ops/convert.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "image/policy.h"
#include "image/writer.h"
#include "ops/convert_bitmaps.h"
#include "ops/copy.h"

static int qcow2_fill(struct copy *c, bool durable, bool *made_data_file, struct err *e)
{
	struct create_options create = c->o->create;
	int ret = -1;

	create.size = c->total;
	create.watch = c->o->watch;
	c->builder = builder_new(c->target->file, &create, e);
	if (!c->builder)
		return copy_failed_at(c->o->target, e);
	if (copy_run(c, e) == 0) {
		ret = builder_finish(c->builder, durable ? BUILD_ORDERED : BUILD_LAZY, e);
		if (ret < 0)
			copy_failed_at(c->o->target, e);
	}
	*made_data_file = builder_made_data_file(c->builder);
	builder_free(c->builder);
	return ret;
}

static int raw_prepare(struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;

	/* A file that ends inside a sector is a disk of whole sectors, as a source is. */
	if (o->no_create && align_up(target_size(c->target), SECTOR_SIZE) < c->total)
		return err_set(
			e, ERR_INVALID,
			"the target has %llu bytes and the source %llu: it does not fit",
			(unsigned long long)target_size(c->target),
			(unsigned long long)c->total);
	if (o->no_create)
		return 0;
	return target_raw_prepare(c->target, c->total, o->create.preallocation, o->watch, e);
}

static int raw_fill(struct copy *c, bool durable, struct err *e)
{
	if (raw_prepare(c, e) < 0)
		return copy_failed_at(c->o->target, e);
	if (copy_run(c, e) < 0)
		return -1;
	if (durable && target_flush(c->target, e) < 0)
		return copy_failed_at(c->o->target, e);
	return 0;
}

/* What is left to the backing file is left to its very place. */
static int backing_check(const struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;

	if (!o->create.backing_name ||
	    (o->source_nr == 1 && !o->skip && c->window == c->starts[o->source_nr]))
		return 0;
	return err_set(e, ERR_INVALID,
		       "only a whole disk can be copied over a backing file");
}

/* Whatever can be refused is refused while an existing target still holds what it held. */
static int options_check(const struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;
	struct create_options create = o->create;

	if (o->no_create)
		return backing_check(c, e);
	create.size = c->total;
	if (o->format != FORMAT_QCOW2)
		return target_raw_check(o->create.preallocation, e);
	if (o->compress && (create.preallocation != PREALLOCATION_OFF || create.data_file ||
			    create.encryption.method != CRYPT_NONE))
		return err_set(
			e, ERR_INVALID,
			"compressed clusters go neither with preallocation nor with a data file");
	return backing_check(c, e) < 0 ? -1 : create_check(&create, e);
}

/* Whether the data file at `path` is the backing file that the new image is to have; the rest of its
 * chain is for new_image_prepare() to look at, which opens it. */
static bool is_backing(const struct convert_options *o, const char *path)
{
	char *backing = o->create.backing_name
				? policy_combine(o->target, o->create.backing_name)
				: NULL;
	uint64_t device, inode, its_device, its_inode;
	bool same = backing && file_path_identity(backing, &device, &inode) &&
		    file_path_identity(path, &its_device, &its_inode) &&
		    device == its_device && inode == its_inode;

	free(backing);
	return same;
}

/* Neither the target nor its data file may be anything that is read. */
static int sources_check(const struct convert_options *o, struct file *target,
			 struct err *e)
{
	bool has_data_file =
		o->format == FORMAT_QCOW2 && !o->no_create && o->create.data_file;
	char *data_file = NULL;
	int ret = 0;

	if (has_data_file &&
	    policy_resolve(o->target, o->create.data_file, NULL, &data_file, e) < 0)
		return err_ctx(e, "data_file");
	for (unsigned i = 0; ret == 0 && i < o->source_nr; i++) {
		if (disk_uses_file(o->sources[i], target))
			ret = err_set(e, ERR_INVALID,
				      "source and target are the same file");
		else if (data_file && disk_uses_path(o->sources[i], data_file))
			ret = err_set(e, ERR_INVALID,
				      "source and data file are the same file");
	}
	if (ret == 0 && data_file && is_backing(o, data_file))
		ret = err_set(e, ERR_INVALID,
			      "the data file and the backing file are the same file");
	free(data_file);
	return ret;
}

/* The target's data file may not be read from either. */
static int target_files_check(const struct convert_options *o, struct disk *target,
			      struct err *e)
{
	for (unsigned i = 0; i < o->source_nr; i++)
		if (disk_uses_path(o->sources[i], disk_layer_file(target, 0)))
			return err_set(e, ERR_INVALID, "source and data file are the same file");
	return 0;
}

/* What the source leaves to the backing file must come from it in the target, too. */
static int into_backing_check(const struct convert_options *o, struct disk *target, struct err *e)
{
	const char *name = o->create.backing_name, *format = o->create.backing_format;
	unsigned depth = 0;

	if (disk_find_layer(target, name, &depth, e) < 0)
		return -1;
	if (depth != 1)
		return err_set(e, ERR_INVALID, "'%s' is not the backing file of the target", name);
	if (format && strcmp(format, disk_image(target, 1) ? "qcow2" : "raw") != 0)
		return err_set(e, ERR_INVALID, "the target's backing file is not read as %s", format);
	return 0;
}

static int into_begin(struct copy *c, struct disk *target, struct err *e)
{
	const struct convert_options *o = c->o;

	if (disk_size(target) < c->total)
		return err_set(
			e, ERR_INVALID,
			"the target has %llu bytes and the source %llu: it does not fit",
			(unsigned long long)disk_size(target), (unsigned long long)c->total);
	if (target_files_check(o, target, e) < 0 ||
	    (o->create.backing_name && into_backing_check(o, target, e) < 0))
		return -1;
	c->into = target;
	c->writer = image_writer_new(target, o->listener, o->watch, e);
	if (!c->writer)
		return -1;
	if (o->compress && image_writer_encrypts(c->writer))
		return err_set(e, ERR_UNSUPPORTED,
			       "Compression and encryption not supported at the same time");
	if (image_writer_counts_check(c->writer, o->watch, e) < 0)
		return -1;
	return o->bitmaps ? convert_bitmaps_fit(o, target, c->writer, e) : 0;
}

/* Only a target that holds nothing can do without flushes: it is made again where it was lost. */
static int into_cache(const struct convert_options *o, struct disk *target, struct err *e)
{
	bool blank;

	if (!o->flush_if_used || !(o->target_flags & FILE_NO_FLUSH))
		return 0;
	if (disk_is_blank(target, &blank, e) < 0)
		return -1;
	if (blank)
		disk_never_flush(target);
	return 0;
}

static int into_run(struct copy *c, struct disk *target, struct err *e)
{
	int ret = -1;

	if (into_cache(c->o, target, e) < 0 || into_begin(c, target, e) < 0)
		copy_failed_at(c->o->target, e);
	else if (copy_run(c, e) == 0) {
		ret = image_writer_finish(c->writer, e);
		if (ret < 0)
			copy_failed_at(c->o->target, e);
	} else {
		copy_finish_stopped(c, e);
	}
	image_writer_free(c->writer);
	return ret;
}

/* A qcow2 image that exists. */
static int into_fill(struct copy *c, struct err *e)
{
	const struct convert_options *o = c->o;
	struct disk_options how = { .flags = DISK_WRITE, .listener = o->listener,
				    .write_flags = o->target_flags, .watch = o->watch };

	struct spec s = { 0 };
	struct disk *target = NULL;
	int ret = -1;

	if (o->flush_if_used)
		how.write_flags &= ~(unsigned)FILE_NO_FLUSH;
	/* Its own lock would be in the way, which says less. */
	for (unsigned i = 0; i < o->source_nr; i++)
		if (disk_uses_path(o->sources[i], o->target))
			return err_set(e, ERR_INVALID,
				       "%s: source and target are the same file", o->target);
	if (!o->target_spec && !spec_path(&s, o->target, FORMAT_QCOW2))
		return err_nomem(e);
	s.locking = o->locking;
	s.chain_secret = o->target_secret;
	target = disk_open(o->target_spec ? o->target_spec : &s, &how, e);
	if (target)
		ret = into_run(c, target, e);
	disk_close(target);
	spec_fini(&s);
	return ret;
}

int convert_target_format(const struct spec *s, enum image_format *format, struct err *e)
{
	struct file *f = spec_write_check(s, e) < 0 ? NULL : file_open(s->path, 0, e);
	int ret = f ? spec_find_format(s, f, format, e) : -1;

	file_drop(f);
	return ret < 0 ? err_ctx(e, "Could not open '%s'", s->name) : 0;
}

/* Opens the target, and empties it when there is no reason left not to. */
static int target_begin(const struct convert_options *o, struct target *t, struct err *e)
{
	const struct spec *s = o->target_spec;

	if (target_open(t, o->target, o->target_flags, o->no_create, e) < 0)
		return -1; /* names the target itself */
	if ((s && target_take_spec(t, s, e) < 0) || sources_check(o, t->file, e) < 0 ||
	    target_lock(t, o->locking, o->listener, e) < 0 ||
	    (!o->no_create && target_empty(t, &o->create, e) < 0))
		return copy_failed_at(o->target, e);
	return 0;
}

static int target_end(const struct convert_options *o, struct target *t, int ret,
		      struct err *e)
{
	int closed = target_close(t, ret, e);

	return ret == 0 && closed < 0 ? copy_failed_at(o->target, e) : closed;
}

/* Adds the bitmaps to a target that is complete but for them, and closed. */
static int bitmaps_add(const struct convert_options *o, const struct target *t,
		       bool made_data_file, struct err *e)
{
	struct target data = { .made = made_data_file };
	struct err ignored = ERR_INIT;
	char *path = NULL;

	if (convert_bitmaps(o, e) == 0)
		return 0;
	/* Without them it is not what was asked for. */
	if (made_data_file &&
	    policy_resolve(o->target, o->create.data_file, NULL, &path, &ignored) == 0 &&
	    file_path_identity(path, &data.device, &data.inode))
		target_take_back(&data, path);
	free(path);
	target_take_back(t, o->target);
	return -1;
}

int convert(const struct convert_options *o, struct err *e)
{
	struct target t = { 0 };
	bool made_data_file = false;
	struct copy c = { .o = o, .target = &t, .depth_end = 1 };
	bool durable = !(o->target_flags & FILE_NO_FLUSH);
	int ret = -1;

	if (o->create.backing_name) {
		c.pick = COPY_ABOVE;
		c.shown_end = o->backing_size ? o->backing_size : UINT64_MAX;
	}
	if ((o->bitmaps && convert_bitmaps_check(o, e) < 0) || copy_begin(&c, e) < 0 ||
	    copy_dirty_begin(&c, e) < 0)
		goto out;
	if (options_check(&c, e) < 0) {
		copy_failed_at(o->target, e);
		goto out;
	}
	if (o->no_create && o->format == FORMAT_QCOW2)
		ret = into_fill(&c, e);
	else if (target_begin(o, &t, e) == 0)
		ret = o->format == FORMAT_QCOW2 ? qcow2_fill(&c, durable, &made_data_file, e)
						: raw_fill(&c, durable, e);
out:
	copy_dirty_end(&c);
	copy_end(&c);
	ret = target_end(o, &t, ret, e);
	return ret == 0 && o->bitmaps ? bitmaps_add(o, &t, made_data_file, e) : ret;
}
