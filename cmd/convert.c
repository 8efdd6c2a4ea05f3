/* qcow2-convert: copy disks into a new image. */
#include <stdlib.h>
#include <string.h>

#include "cmd/common.h"
#include "cmd/convert_target.h"
#include "cmd/snapshot_option.h"
#include "ops/create.h"

static const struct cmd_about about = {
	.name = "convert",
	.operands = "SRC [SRC2 ...] TGT",
	.purpose = "Copy a disk, or several one behind the other, into a new image.",
	.examples =
		"  qcow2-convert --target-format=qcow2 disk.raw disk.qcow2\n"
		"  qcow2-convert --target-format=qcow2 --compress disk.qcow2 small.qcow2\n"
		"  qcow2-convert --progress disk.qcow2 disk.raw\n"
		"  qcow2-convert -O qcow2 --bitmap monday -B full.qcow2 -F qcow2 disk.qcow2 mon.qcow2\n",
};

/* Shortest run of zeros that is left out, unless -S says otherwise. */
#define SPARSE_DEFAULT 4096
#define SPARSE_MAX     (UINT64_C(16) << 20)

struct job {
	struct convert_choices ch;
	struct creation keys;
	struct convert_options o;
	struct disk_options disk;
	struct option_list snapshot_list; /* owns the strings of disk.snapshot_* */
	struct spec target_spec;
	struct cache_mode source_cache;
	const char **operands;
	unsigned operand_nr;
};

static int numbers_take(struct job *j, struct err *e)
{
	const struct convert_choices *c = &j->ch;
	uint64_t workers = 0, level = 0;

	j->o.sparse = SPARSE_DEFAULT;
	if (c->sparse &&
	    size_from_text("buffer size for sparse output", c->sparse, &j->o.sparse, e) < 0)
		return -1;
	if (j->o.sparse % SECTOR_SIZE || j->o.sparse > SPARSE_MAX)
		return err_set(
			e, ERR_INVALID,
			"Invalid buffer size for sparse output specified: '%s' is not a multiple of 512 up to 16M",
			c->sparse);
	if (c->rate && size_from_text("rate limit", c->rate, &j->o.rate, e) < 0)
		return -1;
	if (c->parallel &&
	    count_from_text("number of coroutines", c->parallel, 1, 16, &workers, e) < 0)
		return -1;
	/* What a target that exists wants is seen when it is opened. */
	bool zstd = c->no_create || j->o.create.compression == COMPRESSION_ZSTD;
	if (c->level && count_from_text("level", c->level, 1, zstd ? 19 : 9, &level, e) < 0)
		return -1;
	j->o.workers = (unsigned)workers;
	j->o.level = (int)level;
	return 0;
}

static int caches_take(struct job *j, struct err *e)
{
	const char *word = j->ch.target_cache ? j->ch.target_cache : "unsafe";
	struct cache_mode target;

	if (cache_from_text("cache", word, &target, e) < 0 ||
	    cache_from_text("source cache", j->ch.source_cache, &j->source_cache, e) < 0)
		return -1;
	j->o.flush_if_used = !j->ch.target_cache;
	j->o.target_flags = (target.direct ? FILE_DIRECT : 0) |
			    (cache_is_strict() ? FILE_DIRECT_ONLY : 0) |
			    (target.sync_writes ? FILE_SYNC_WRITES : 0) |
			    (target.no_flush ? FILE_NO_FLUSH : 0);
	return 0;
}

static int keys_take(struct job *j, struct err *e)
{
	const struct convert_choices *c = &j->ch;

	j->keys.format = j->o.format;
	if ((c->backing && creation_add(&j->keys, "backing_file", c->backing, e) < 0) ||
	    (c->backing_format &&
	     creation_add(&j->keys, "backing_fmt", c->backing_format, e) < 0) ||
	    creation_take(&j->keys, e) < 0)
		return -1;
	j->o.create = j->keys.options;
	return 0;
}

static int sources_open(struct job *j, struct err *e)
{
	j->disk.flags |= DISK_HOLES;
	j->disk.listener = &cmd_listener;
	j->o.sources = calloc(j->o.source_nr, sizeof *j->o.sources);
	if (!j->o.sources)
		return err_nomem(e);
	for (unsigned i = 0; i < j->o.source_nr; i++) {
		struct spec s = { 0 };

		if (operand_spec(&s, j->operands[i], cmd_flags.format, e) == 0) {
			s.direct |= j->source_cache.direct;
			j->o.sources[i] = disk_open(&s, &j->disk, e);
		}
		spec_fini(&s);
		if (!j->o.sources[i])
			return -1;
	}
	return 0;
}

/* The backing file of a new target must be there, and be another file. */
static int backing_check(struct job *j, struct err *e)
{
	struct new_image n = {
		.path = j->o.target,
		.format = j->o.format,
		.options = j->o.create,
		.has_size = true,
		.listener = &cmd_listener,
	};

	if (!j->o.create.backing_name || j->o.no_create)
		return 0;
	n.options.size = disk_size(j->o.sources[0]);
	if (new_image_prepare(&n, e) < 0)
		return -1;
	j->o.backing_size = n.backing_size;
	return 0;
}

static int job_run(struct job *j, struct err *e)
{
	const char *target = j->operands[j->operand_nr - 1];

	j->o.format = j->keys.format;
	if (convert_target_new(&j->ch, target, &j->target_spec, &j->o, e) < 0 ||
	    keys_take(j, e) < 0 ||
	    convert_target_take(&j->ch, target, &j->target_spec, &j->o, e) < 0 ||
	    convert_choices_check(&j->ch, &j->o, &j->keys, e) < 0 ||
	    numbers_take(j, e) < 0 || caches_take(j, e) < 0 ||
	    snapshot_option(j->ch.snapshot, &j->snapshot_list, &j->disk, e) < 0)
		return -1;
	j->o.compress = j->ch.compress;
	j->o.no_create = j->ch.no_create;
	j->o.target_is_zero = j->ch.target_is_zero;
	j->o.salvage = j->ch.salvage;
	j->o.salvage_quietly = cmd_flags.quiet;
	j->o.bitmaps = j->ch.bitmaps;
	j->o.skip_broken_bitmaps = j->ch.skip_broken_bitmaps;
	j->o.dirty_only = j->ch.bitmap;
	j->o.count = UINT64_MAX;
	j->o.listener = &cmd_listener;
	j->o.target_secret = secrets_passphrase();
	/* Opening may take its time: passphrases are made expensive to guess. */
	j->o.watch = j->disk.watch = j->o.create.encryption.watch = cmd_watch_bytes(1);
	if (sources_open(j, e) < 0 || backing_check(j, e) < 0)
		return -1;
	if (j->ch.bitmaps && j->ch.snapshot)
		cmd_warn("the bitmaps tell of the disk as it is now, not of the snapshot");
	if (j->o.target_spec)
		operand_warn_probed(j->o.target_spec, j->o.format);
	else if (j->o.format == FORMAT_RAW && !j->ch.format && !j->ch.target_image_opts)
		creation_warn_extension(j->o.target, "--target-format");
	creation_warn_weak(&j->keys);
	if (!j->o.no_create && create_encryption_measure(&j->o.create.encryption, e) < 0)
		return err_ctx(e, "%s", j->o.target);
	return convert(&j->o, e);
}

static void job_fini(struct job *j)
{
	for (unsigned i = 0; j->o.sources && i < j->o.source_nr; i++)
		disk_close(j->o.sources[i]);
	free(j->o.sources);
	spec_fini(&j->target_spec);
	option_list_fini(&j->snapshot_list);
	creation_fini(&j->keys);
}

static int keys_begin(struct job *j, struct err *e)
{
	enum image_format format = FORMAT_RAW;

	creation_init(&j->keys, FORMAT_RAW);
	if (j->ch.format && !format_by_name(j->ch.format, &format))
		return err_set(e, ERR_INVALID, "Unknown file format '%s'", j->ch.format);
	if (j->ch.target_image_opts)
		format = FORMAT_QCOW2; /* or raw, which has no keys but less */
	creation_init(&j->keys, format);
	return creation_add_lists(&j->keys, j->ch.lists, e);
}

static void operands_take(struct cmd *c, struct job *j)
{
	j->operands = cmd_rest(c);
	while (j->operands && j->operands[j->operand_nr])
		j->operand_nr++;
	if (j->operand_nr < 2)
		cmd_usage(c, "Must specify image file name");
	j->o.source_nr = j->operand_nr - 1;
}

static struct job job;

static struct poptOption options[] = {
	{ "source-format", 'f', POPT_ARG_STRING, &cmd_flags.format, 0,
	  "format of the sources: raw or qcow2 (default: found by looking)", "FMT" },
	{ "format", 0, POPT_ARG_STRING | POPT_ARGFLAG_DOC_HIDDEN, &cmd_flags.format, 0,
	  NULL, NULL },
	OPTION_IMAGE_OPTS,
	{ "source-cache", 'T', POPT_ARG_STRING, &job.ch.source_cache, 0,
	  "cache mode of the sources (default: writeback)", "MODE" },
	{ "snapshot", 'l', POPT_ARG_STRING, &job.ch.snapshot, 0,
	  "read this internal snapshot of the source: its id, or else its name",
	  "SNAPSHOT" },
	{ "bitmap", 0, POPT_ARG_STRING, &job.ch.bitmap, 0,
	  "copy only what this bitmap of the source says is dirty: an incremental backup",
	  "NAME" },
	{ "bitmaps", 0, POPT_ARG_NONE, &job.ch.bitmaps, 0,
	  "copy the persistent bitmaps of the source, too", NULL },
	{ "skip-broken-bitmaps", 0, POPT_ARG_NONE, &job.ch.skip_broken_bitmaps, 0,
	  "with --bitmaps: leave out inconsistent ones", NULL },
	{ "salvage", 0, POPT_ARG_NONE, &job.ch.salvage, 0,
	  "turn what can't be read into zeros, with a warning", NULL },
	{ "target-format", 'O', POPT_ARG_STRING, &job.ch.format, 0,
	  "format of the target: raw (the default) or qcow2", "FMT" },
	{ "target-format-options", 'o', POPT_ARG_ARGV, &job.ch.lists, 0,
	  "creation keys, KEY=VALUE,...; \"help\" lists them", "LIST" },
	{ "target-cache", 't', POPT_ARG_STRING, &job.ch.target_cache, 0,
	  "cache mode of the target (default: unsafe, that is without a final flush)",
	  "MODE" },
	{ "backing", 'B', POPT_ARG_STRING, &job.ch.backing, 0,
	  "make the target an overlay of this image: copy only what SRC itself holds",
	  "NAME" },
	{ NULL, 'b', POPT_ARG_STRING, &job.ch.backing, 0, "the same as -B", "NAME" },
	{ "backing-format", 'F', POPT_ARG_STRING, &job.ch.backing_format, 0,
	  "format of the backing file: raw or qcow2", "FMT" },
	{ "sparse-size", 'S', POPT_ARG_STRING, &job.ch.sparse, 0,
	  "leave out runs of zeros from this length on (default 4k; 0: write everything)",
	  "SIZE" },
	{ "no-create", 'n', POPT_ARG_NONE, &job.ch.no_create, 0,
	  "write into the existing TGT instead of making it", NULL },
	{ "target-is-zero", 0, POPT_ARG_NONE, &job.ch.target_is_zero, 0,
	  "with -n: TGT reads as zeros already", NULL },
	{ "target-image-opts", 0, POPT_ARG_NONE, &job.ch.target_image_opts, 0,
	  "TGT is a list such as driver=raw,file.filename=x; most of them need -n", NULL },
	{ "compress", 'c', POPT_ARG_NONE, &job.ch.compress, 0, "write compressed clusters",
	  NULL },
	{ "level", 0, POPT_ARG_STRING, &job.ch.level, 0,
	  "how hard to compress: 1-9 for zlib, 1-19 for zstd", "N" },
	{ "rate-limit", 'r', POPT_ARG_STRING, &job.ch.rate, 0,
	  "copy at most this many bytes a second", "SIZE" },
	{ "parallel", 'm', POPT_ARG_STRING, &job.ch.parallel, 0,
	  "workers, 1-16 (default: one for each processor)", "N" },
	{ "oob-writes", 'W', POPT_ARG_NONE, &job.ch.out_of_order, 0,
	  "accepted: writes are out of order anyway, and the result is always the same",
	  NULL },
	{ "copy-range-offloading", 'C', POPT_ARG_NONE, &job.ch.offload, 0,
	  "accepted: a hint that is not needed", NULL },
	OPTION_FORCE_SHARE,
	OPTION_PROGRESS,
	OPTION_QUIET,
	OPTIONS_COMMON,
	POPT_TABLEEND
};

int main(int argc, const char **argv)
{
	struct cmd c = cmd_start(argc, argv, &about, options);
	struct err e = ERR_INIT;
	int ret = keys_begin(&job, &e);

	if (ret == 0 && job.keys.list.help) {
		const char **operands = cmd_rest(&c);

		creation_print_help(job.keys.format, operands != NULL);
	} else if (ret == 0) {
		operands_take(&c, &job);
		ret = job_run(&job, &e);
	}
	signals_watch_end(ret == 0);
	if (ret < 0) {
		cmd_error_of(&e);
		creation_hint_backing_format(argc, argv, &about, &job.keys, job.o.target);
	}
	int status = cmd_finish_status(&c, ret < 0);

	job_fini(&job);
	return status;
}
