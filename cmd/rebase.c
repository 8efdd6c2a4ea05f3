/* qcow2-rebase: give an image another backing file. */
#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"
#include "cmd/common.h"
#include "cmd/creation.h"
#include "ops/rebase.h"

static const struct cmd_about about = {
	.name = "rebase",
	.operands = "FILE",
	.purpose = "Give a qcow2 image another backing file, or none.",
	.examples = "  qcow2-rebase --backing=new.qcow2 --backing-format=qcow2 disk.qcow2\n"
		    "  qcow2-rebase --backing= disk.qcow2\n"
		    "  qcow2-rebase --backing-unsafe --backing=moved/base.raw "
		    "--backing-format=raw disk.qcow2\n",
};

struct choices {
	const char *backing, *backing_format, *cache, *backing_cache;
	int header_only, compress, force_share, dry_run;
};

static int caches_take(const struct choices *c, struct rebase_options *o, struct err *e)
{
	struct cache_mode image, backing;

	if (cache_from_text("cache", c->cache, &image, e) < 0 ||
	    cache_from_text("source cache", c->backing_cache, &backing, e) < 0)
		return -1;
	o->backing_direct = backing.direct;
	o->write_flags = cache_write_flags(&image);
	return 0;
}

static void print_size(const char *what, uint64_t bytes)
{
	char text[SIZE_TEXT_MAX];

	printf("%s: %s (%" PRIu64 " bytes)\n", what, size_render(bytes, text), bytes);
}

static void print_need(const struct rebase_need *need)
{
	print_size("would be copied", need->data);
	print_size("would be marked as zeros", need->zeros);
}

static int image_rebase(const char *name, const struct choices *c, struct spec *s,
			struct err *e)
{
	struct rebase_options o = {
		.backing = c->backing,
		.format = c->backing_format,
		.header_only = c->header_only,
		.dry_run = c->dry_run,
		.compress = c->compress,
		.force_share = c->force_share,
		.listener = &cmd_listener,
		.watch = cmd_watch(2),
	};
	struct rebase_need need;

	if (caches_take(c, &o, e) < 0 || operand_spec(s, name, cmd_flags.format, e) < 0 ||
	    rebase(s, &o, &need, e) < 0)
		return -1;
	signals_watch_end(true);
	if (c->dry_run)
		print_need(&need);
	else
		cmd_note("%" PRIu64 " bytes were copied, %" PRIu64 " bytes marked as zeros",
			 need.data, need.zeros);
	return 0;
}

static struct choices choices;

static struct poptOption options[] = {
	OPTION_FORMAT,
	OPTION_IMAGE_OPTS,
	{ "backing", 'b', POPT_ARG_STRING, &choices.backing, 0,
	  "the new backing file, as it is to be stored; empty: none", "NAME" },
	{ "backing-format", 'F', POPT_ARG_STRING, &choices.backing_format, 0,
	  "format of the new backing file: raw or qcow2", "FMT" },
	{ NULL, 'B', POPT_ARG_STRING, &choices.backing_format, 0, "the same as -F",
	  "FMT" },
	{ "backing-unsafe", 'u', POPT_ARG_NONE, &choices.header_only, 0,
	  "only write the name: backing files are neither needed nor compared", NULL },
	{ "compress", 'c', POPT_ARG_NONE, &choices.compress, 0,
	  "compress the clusters that are copied", NULL },
	{ "dry-run", 0, POPT_ARG_NONE, &choices.dry_run, 0,
	  "change nothing, and say how much would be copied", NULL },
	{ "cache", 't', POPT_ARG_STRING, &choices.cache, 0,
	  "cache mode of FILE (default: writeback)", "MODE" },
	{ "backing-cache", 'T', POPT_ARG_STRING, &choices.backing_cache, 0,
	  "cache mode of the old and the new backing file", "MODE" },
	{ "force-share", 'U', POPT_ARG_NONE, &choices.force_share, 0,
	  "open the new backing file even while another process writes to it", NULL },
	OPTION_PROGRESS,
	OPTION_QUIET,
	OPTIONS_COMMON,
	POPT_TABLEEND
};

int main(int argc, const char **argv)
{
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *name = cmd_arg(&c, "FILE");
	struct err e = ERR_INIT;
	struct spec s = { 0 };

	cmd_no_more_args(&c);
	if (!choices.backing && !choices.header_only)
		cmd_usage(&c, "expecting --backing, or --backing-unsafe to remove the reference");
	int ret = image_rebase(name, &choices, &s, &e);

	signals_watch_end(ret == 0);
	if (ret < 0)
		cmd_error_of(&e);
	if (ret < 0 && s.path && choices.backing && *choices.backing && !choices.backing_format)
		hint_backing_format(argc, argv, &about, s.path, choices.backing);
	spec_fini(&s);
	return cmd_finish_status(&c, ret < 0);
}
