#include "ops/rebase.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "image/image.h"
#include "image/policy.h"
#include "image/writer.h"
#include "ops/copy.h"
#include "ops/rebase_internal.h"

/* Shortest run of zeros that becomes a mark instead of data, where the format's units are not
 * larger anyway. */
#define SPARSE 4096

struct job {
	const struct rebase_options *o;
	const struct spec *spec;
	const char *name, *format;	/* NULL: there is to be no backing file */
	enum image_format known;	/* the format, as we call it */
	char *path;			/* where the new backing file is */
	struct disk *disk;		/* the image, with its old chain unless only the header counts */
	struct disk *other;		/* the new chain; NULL: none */
	struct image_writer *writer;
};

static int words_check(struct job *j, struct err *e)
{
	const struct rebase_options *o = j->o;

	if (o->format && !format_by_name(o->format, &j->known))
		return err_set(e, ERR_INVALID, "Unknown driver '%s' for the backing file",
			       o->format);
	if (!o->backing || !*o->backing)
		return 0;
	j->name = o->backing;
	j->format = o->format;
	if (strlen(j->name) > BACKING_NAME_MAX)
		return err_set(e, ERR_INVALID, "the backing file name has more than %d bytes",
			       BACKING_NAME_MAX);
	if (!j->format)
		return err_set(e, ERR_INVALID,
			       "Could not change the backing file to '%s': backing format must be "
			       "specified",
			       j->name);
	return 0;
}

static int image_take(struct job *j, struct err *e)
{
	const struct rebase_options *o = j->o;
	struct disk_options how = { .listener = o->listener, .write_flags = o->write_flags,
				    .backing_direct = o->backing_direct,
				    .watch = o->watch };

	if (!o->dry_run && (j->spec->read_only || j->spec->force_share))
		return err_set(e, ERR_INVALID,
			       "%s=on goes only with images that are not changed",
			       j->spec->read_only ? "read-only" : "force-share");
	how.flags = o->header_only ? DISK_NO_BACKING | DISK_NO_DATA_FILE : DISK_HOLES;
	if (!o->dry_run)
		how.flags |= DISK_WRITE;
	j->disk = o->header_only ? disk_open_metadata(j->spec, &how, e)
				 : disk_open(j->spec, &how, e);
	if (!j->disk)
		return -1;
	if (disk_format(j->disk) != FORMAT_QCOW2)
		return err_set(e, ERR_UNSUPPORTED,
			       "Could not change the backing file: a raw image can't have one");
	struct image *img = disk_image(j->disk, 0);

	if (o->compress && !o->header_only && image_header(img)->crypt_method != CRYPT_NONE)
		return err_set(e, ERR_UNSUPPORTED,
			       "Compression and encryption not supported at the same time");
	if (o->compress && !o->header_only && image_geom(img)->data_file)
		return err_set(e, ERR_UNSUPPORTED,
			       "Compression is not possible with an external data file");
	if (image_rename_backing_check(img, j->name, j->format, e) < 0)
		return err_ctx(e, "Could not change the backing file");
	return 0;
}

/* What is about to be written may not be read from, as a data file of some layer either. */
static int apart_check(const struct job *j, struct err *e)
{
	struct image *img = disk_image(j->disk, 0);
	struct file *data = image_data_file(img);

	if (!disk_uses_file(j->other, image_file(img)) &&
	    !(data && disk_uses_file(j->other, data)))
		return 0;
	return err_set(e, ERR_INVALID, "'%s' has its data in a file of the image itself", j->path);
}

/* Whether the new backing file may be one; opens it, unless only its name counts. */
static int backing_take(struct job *j, struct err *e)
{
	const struct rebase_options *o = j->o;
	struct disk_options how = { .flags = DISK_HOLES, .listener = o->listener };
	const char *image = file_path(image_file(disk_image(j->disk, 0)));
	struct err ignored = ERR_INIT;
	struct spec s = { 0 };

	if (!j->name)
		return 0;
	/* A name that is only stored may be one that we would not follow. */
	if (policy_resolve(image, j->name, NULL, &j->path, o->header_only ? &ignored : e) < 0)
		return o->header_only ? 0 : -1;
	if (rebase_loop_check(j->disk, j->path, j->known, e) < 0)
		return -1;
	if (o->header_only)
		return 0;
	if (!spec_path(&s, j->path, j->known))
		return err_nomem(e);
	s.force_share = o->force_share;
	/* Nobody can say what opens a new backing file that is encrypted; often it is this. */
	s.chain_secret = j->spec->chain_secret.p ? j->spec->chain_secret : j->spec->secret;
	s.direct = o->backing_direct;
	s.direct_only = j->spec->direct_only;
	if (rebase_secrets(&s, j->spec, j->disk, e) == 0)
		j->other = disk_open(&s, &how, e);
	spec_fini(&s);
	return j->other ? apart_check(j, e) : -1;
}

/* Where a chain was put together by hand, what stands behind a layer may be anything. */
static unsigned depth_end(const struct job *j)
{
	if (!j->other || j->spec->backing)
		return UINT_MAX;
	return rebase_shared_depth(j->disk, j->other);
}

static int copy_old(struct job *j, struct rebase_need *need, struct err *e)
{
	const struct rebase_options *o = j->o;
	struct convert_options how = {
		.sources = &j->disk,
		.source_nr = 1,
		.count = UINT64_MAX,
		.target = disk_name(j->disk),
		.compress = o->compress && !o->dry_run,
		.sparse = SPARSE,
		.watch = o->watch,
		.listener = o->listener,
	};
	struct copy c = {
		.o = &how,
		.pick = COPY_BELOW_TOP,
		.depth_end = depth_end(j),
		.other = j->other,
		.writer = j->writer,
		.dry = o->dry_run,
	};
	int ret = copy_begin(&c, e);

	if (ret == 0 && (ret = copy_run(&c, e)) < 0 && j->writer)
		copy_finish_stopped(&c, e);
	copy_end(&c);
	/* Version 2 has no marks where something may show through. */
	bool marks = image_header(disk_image(j->disk, 0))->version > 2;

	*need = (struct rebase_need){ c.data_len + (marks ? 0 : c.zero_len),
				      marks ? c.zero_len : 0 };
	return ret;
}

/* Reading and copying say themselves who failed. */
static int image_failed(const struct job *j, struct err *e)
{
	char shown[256];
	const char *name = disk_name(j->disk);

	return err_ctx(e, "%s", text_escape(name, strlen(name), shown, sizeof shown));
}

/* Whether another chain shows where the image holds nothing. */
static bool chain_changes(const struct job *j)
{
	if (j->o->header_only)
		return false;
	if (!j->other)
		return disk_layers(j->disk) > 1;
	return disk_layers(j->other) + 1 != disk_layers(j->disk) || depth_end(j) != 1;
}

static int name_change(struct job *j, struct err *e)
{
	if (image_writer_rename_backing(j->writer, j->name, j->format, e) < 0)
		return image_failed(j, e);
	if (chain_changes(j) && image_header(disk_image(j->disk, 0))->nb_snapshots)
		warn_to(j->o->listener, "where snapshots of the image hold nothing themselves, they "
					"show the new backing file from now on");
	return 0;
}

static int change(struct job *j, struct rebase_need *need, struct err *e)
{
	int ret = 0;

	j->writer = image_writer_new(j->disk, j->o->listener, j->o->watch, e);
	if (!j->writer)
		return image_failed(j, e);
	if (j->name)
		image_writer_expect_backing(j->writer);
	if (!j->o->header_only)
		ret = image_writer_counts_check(j->writer, j->o->watch, e) < 0
			      ? image_failed(j, e)
			      : copy_old(j, need, e);
	/* Whoever stops it will go on later: what was copied so far stays, and is in nobody's way. */
	return ret < 0 ? -1 : name_change(j, e);
}

static int job_run(struct job *j, struct rebase_need *need, struct err *e)
{
	if (words_check(j, e) < 0 || image_take(j, e) < 0 || backing_take(j, e) < 0)
		return -1;
	if (!j->o->dry_run)
		return change(j, need, e);
	return j->o->header_only ? 0 : copy_old(j, need, e);
}

int rebase(const struct spec *image, const struct rebase_options *o, struct rebase_need *need,
	   struct err *e)
{
	struct job j = { .o = o, .spec = image };

	*need = (struct rebase_need){ 0 };
	int ret = job_run(&j, need, e);

	image_writer_free(j.writer);
	disk_close(j.other);
	disk_close(j.disk);
	free(j.path);
	return ret;
}
