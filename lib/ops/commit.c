#include "ops/commit.h"

#include "base/align.h"
#include "image/empty.h"
#include "image/image.h"
#include "image/resize.h"
#include "image/target.h"
#include "image/writer.h"
#include "ops/copy.h"

struct job {
	const struct commit_options *o;
	struct disk *disk;     /* the overlay and its chain */
	struct disk *base;     /* a layer of it */
	unsigned depth;	       /* of the base */
	bool empties;
};

static int base_find(struct job *j, struct err *e)
{
	const char *name = j->o->base;

	j->depth = 1;
	j->empties = !j->o->drop && !name;
	if (!disk_image(j->disk, 0) || disk_layers(j->disk) < 2)
		return err_set(e, ERR_INVALID, "Image does not have a backing file");
	if (name && disk_find_layer(j->disk, name, &j->depth, e) < 0)
		return -1;
	if (!j->depth)
		return err_set(e, ERR_NOTFOUND, "Did not find '%s' in the backing chain of '%s'",
			       name, disk_name(j->disk));
	j->base = disk_layer(j->disk, j->depth);
	return 0;
}

/* How the options name layer `depth`; NULL: they leave that to the image above it. */
static const struct spec *layer_spec(const struct commit_options *o, unsigned depth)
{
	const struct spec *s = o->file;

	while (s && depth--)
		s = s->backing;
	return s;
}

/* Whatever can be refused is refused before anything is opened for writing. */
static int base_check(const struct job *j, struct err *e)
{
	const struct spec *file = j->o->file, *base = layer_spec(j->o, j->depth);

	if (file->force_share || (base && base->force_share))
		return err_set(e, ERR_INVALID,
			       "force-share=on is for images that are only read");
	if ((base && base->read_only) || (j->empties && file->read_only))
		return err_set(e, ERR_INVALID, "read-only=on is for images that are only read");
	if (base && (base->window_off || base->has_window_len))
		return err_set(e, ERR_INVALID, "offset and size are for sources, not for '%s'",
			       disk_name(j->base));
	if (disk_format(j->base) == FORMAT_RAW && disk_layer_probed(j->disk, j->depth))
		return err_set(e, ERR_INVALID,
			       "nothing says that '%s' is raw, and a guess is not enough to write "
			       "to it: name the format with rebase -u -F raw -b",
			       disk_name(j->base));
	return 0;
}

/* Opens the chain: to look, or to change its base and, as the case may be, its top. */
static int chain_open(struct job *j, const struct spec *s, bool write, struct err *e)
{
	struct disk_options how = {
		.flags = write && j->empties ? DISK_WRITE : 0,
		.listener = write ? j->o->listener : NULL,
		.write_depth = write ? j->depth : 0,
		.write_flags = j->o->write_flags,
		.watch = j->o->watch,
	};

	j->disk = disk_open(s, &how, e);
	return j->disk && base_find(j, e) == 0 && base_check(j, e) == 0 ? 0 : -1;
}

static void chain_close(struct job *j)
{
	disk_close(j->disk);
	j->disk = j->base = NULL;
}

/* Where the base is in the chain is found by looking at the chain. */
static int chain_open_twice(struct job *j, struct err *e)
{
	/* Unlocked: who can't have it for writing is told so by the second time. */
	struct spec look = *j->o->file;
	unsigned depth;

	look.force_share = true;
	if (chain_open(j, &look, false, e) < 0)
		return -1;
	depth = j->depth;
	chain_close(j);
	if (chain_open(j, j->o->file, true, e) < 0)
		return -1;
	if (j->depth != depth)
		return err_set(e, ERR_BUSY, "the backing chain has changed meanwhile");
	if (disk_layer_is_alone(j->disk, depth) &&
	    (!j->empties || disk_layer_is_alone(j->disk, 0)))
		return 0;
	return err_set(e, ERR_INVALID, "two layers of the chain use the same file");
}

static int raw_fill(struct job *j, struct copy *c, struct err *e)
{
	struct target t = { .file = disk_layer_handle(j->base, 0) };

	c->target = &t;
	if (copy_run(c, e) < 0)
		return -1;
	return file_flush(t.file, e);
}

static int image_fill(struct job *j, struct copy *c, struct err *e)
{
	int ret = -1;

	c->writer = image_writer_new(j->base, j->o->listener, j->o->watch, e);
	if (c->writer)
		image_writer_punch(c->writer);
	if (c->writer && image_writer_counts_check(c->writer, j->o->watch, e) == 0 &&
	    copy_run(c, e) == 0)
		ret = image_writer_finish(c->writer, e);
	else if (c->writer)
		copy_finish_stopped(c, e);
	image_writer_free(c->writer);
	return ret;
}

/* A base that is shorter becomes as long as what is put into it, which is never less. */
static int base_grow(struct job *j, uint64_t size, struct err *e)
{
	struct resize_options o = { .size = size };

	if (size <= disk_size(j->base))
		return 0;
	return disk_image(j->base, 0) ? image_resize(j->base, &o, j->o->listener, j->o->watch, e)
				      : raw_resize(j->base, &o, j->o->watch, e);
}

static int base_fill(struct job *j, struct err *e)
{
	struct convert_options how = {
		.sources = &j->disk,
		.source_nr = 1,
		.count = UINT64_MAX,
		.rate = j->o->rate,
		.workers = j->o->workers,
		.watch = j->o->watch,
		.listener = j->o->listener,
	};
	struct copy c = {
		.o = &how,
		.pick = COPY_ABOVE,
		.depth_end = j->depth,
		.unmap_zeros = true,
	};
	int ret = copy_begin(&c, e) < 0 || base_grow(j, c.total, e) < 0 ? -1 : 0;

	if (ret == 0)
		ret = disk_image(j->base, 0) ? image_fill(j, &c, e) : raw_fill(j, &c, e);
	copy_end(&c);
	return ret < 0 ? err_ctx(e, "commit into '%s'", disk_name(j->base)) : 0;
}

static void snapshots_warn(const struct job *j)
{
	if (image_header(disk_image(j->disk, 0))->nb_snapshots)
		warn_to(j->o->listener, "where snapshots of '%s' hold nothing themselves, they show "
					"what was committed from now on",
			disk_name(j->disk));
}

static int overlay_empty(struct job *j, struct image_writer *w, struct err *e)
{
	return image_empty(w, e) < 0 ? err_ctx(e, "all is committed, but '%s' was not emptied",
					       disk_name(j->disk))
				     : 0;
}

int commit(const struct commit_options *o, struct err *e)
{
	struct image_writer *overlay = NULL;
	struct job j = { .o = o };
	int ret = -1;

	if (chain_open_twice(&j, e) < 0)
		goto out;
	/* An overlay that can't be changed is better known at once. */
	if (j.empties && !(overlay = image_writer_new(j.disk, o->listener, o->watch, e))) {
		err_ctx(e, "'%s'", disk_name(j.disk));
		goto out;
	}
	if (base_fill(&j, e) == 0 && watch_stopped(o->watch, e) == 0)
		ret = overlay ? overlay_empty(&j, overlay, e) : 0;
	if (ret == 0)
		snapshots_warn(&j);
out:
	image_writer_free(overlay);
	chain_close(&j);
	return ret;
}

int commit_measure(const struct commit_options *o, struct commit_measure *m, struct err *e)
{
	struct job j = { .o = o };
	struct extent x;
	int ret = -1;

	*m = (struct commit_measure){ 0 };
	if (chain_open(&j, o->file, false, e) < 0)
		goto out;
	m->base_size = disk_size(j.base);
	m->size = MAX(m->base_size, disk_size(j.disk));
	m->emptied = j.empties;
	for (uint64_t at = 0; at < disk_size(j.disk); at += x.len) {
		if (watch_stopped(o->watch, e) < 0 ||
		    disk_next_above(j.disk, j.depth, at, disk_size(j.disk) - at, &x, e) < 0)
			goto out;
		if (x.kind == EXTENT_ZERO)
			m->zeroed += x.len;
		else if (x.kind != EXTENT_ABSENT)
			m->copied += x.len;
	}
	ret = 0;
out:
	chain_close(&j);
	return ret;
}
