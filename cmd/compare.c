/* qcow2-compare: whether two disks read the same. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/common.h"
#include "image/disk.h"
#include "ops/compare.h"

/* Beyond 0 and 1, so that a script can tell "different" from "could not look". */
enum status {
	STATUS_SAME,
	STATUS_DIFFERENT,
	STATUS_NOT_OPENED, /* usage errors too */
	STATUS_NOT_MAPPED,
	STATUS_NOT_READ,
};

static const struct cmd_about about = {
	.name = "compare",
	.operands = "FILE1 FILE2",
	.purpose = "Compare what two disks read as, whatever their formats.",
	.examples = "  qcow2-compare disk.raw disk.qcow2\n"
		    "  qcow2-compare -q -f raw -F qcow2 disk.raw disk.qcow2 || echo different\n",
	.usage_status = STATUS_NOT_OPENED,
	.stdout_status = STATUS_NOT_READ,
	.answers = 1u << STATUS_DIFFERENT,
};

static void print_answer(const struct compare_result *r)
{
	if (cmd_flags.quiet)
		return;
	if (r->tail)
		puts("Warning: Image size mismatch!");
	switch (r->answer) {
	case COMPARE_SAME:
		puts("Images are identical.");
		break;
	case COMPARE_CONTENT:
		printf("Content mismatch at offset %" PRIu64 "!\n", r->offset);
		break;
	case COMPARE_SIZE:
		puts("Strict mode: Image size mismatch!");
		break;
	case COMPARE_ALLOCATION:
		printf("Strict mode: Offset %" PRIu64 " block status mismatch!\n", r->offset);
		break;
	}
}

static int compare_print(struct disk *a, struct disk *b, bool strict)
{
	const struct compare_options options = { .strict = strict };
	struct err e = ERR_INIT;
	struct compare_result r;

	if (compare_disks(a, b, &options, cmd_watch_bytes(2), &r, &e) < 0) {
		signals_watch_end(false);
		cmd_error_of(&e);
		return r.step == COMPARE_READING ? STATUS_NOT_READ : STATUS_NOT_MAPPED;
	}
	signals_watch_end(r.answer == COMPARE_SAME);
	print_answer(&r);
	return r.answer == COMPARE_SAME ? STATUS_SAME : STATUS_DIFFERENT;
}

/* Opens one side, with a message when that fails. */
static struct disk *side_open(const char *name, const char *format, const char *snapshot,
			      bool direct, unsigned flags)
{
	const struct disk_options how = { .flags = flags, .snapshot = snapshot,
					  .listener = &cmd_listener };
	struct err e = ERR_INIT;
	struct spec s = { 0 };
	struct disk *d = NULL;

	if (operand_spec(&s, name, format, &e) == 0) {
		s.direct = s.direct || direct;
		d = disk_open(&s, &how, &e);
	}
	if (!d)
		cmd_error_of(&e);
	spec_fini(&s);
	return d;
}

int main(int argc, const char **argv)
{
	const char *b_format = NULL, *cache_word = NULL, *snapshot[2] = { NULL };
	int strict = 0, status = STATUS_NOT_OPENED;
	struct poptOption options[] = {
		{ "a-format", 'f', POPT_ARG_STRING, &cmd_flags.format, 0,
		  "format of FILE1: raw or qcow2 (default: found by looking)", "FMT" },
		{ "b-format", 'F', POPT_ARG_STRING, &b_format, 0,
		  "format of FILE2, likewise", "FMT" },
		{ "a-snapshot", 0, POPT_ARG_STRING, &snapshot[0], 0,
		  "compare this internal snapshot of FILE1: an id, or else a name", "SNAPSHOT" },
		{ "b-snapshot", 0, POPT_ARG_STRING, &snapshot[1], 0,
		  "of FILE2, likewise", "SNAPSHOT" },
		{ "strict", 's', POPT_ARG_NONE, &strict, 0,
		  "sizes, and what is allocated, must be the same too", NULL },
		{ "cache", 'T', POPT_ARG_STRING, &cache_word, 0,
		  "cache mode for reading (default: writeback)", "MODE" },
		OPTION_IMAGE_OPTS, OPTION_FORCE_SHARE, OPTION_PROGRESS, OPTION_QUIET,
		OPTIONS_COMMON, POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *name[2] = { cmd_arg(&c, "FILE1"), cmd_arg(&c, "FILE2") };
	struct cache_mode cache;
	struct err e = ERR_INIT;

	cmd_no_more_args(&c);
	if (b_format && cmd_flags.image_opts)
		cmd_usage(&c, "--image-opts and --b-format exclude each other");
	if (cache_from_text("source cache", cache_word, &cache, &e) < 0) {
		cmd_error_of(&e);
		return cmd_finish_status(&c, STATUS_NOT_OPENED);
	}

	/* Strict mode judges allocation as map shows it. */
	unsigned flags = strict ? DISK_HOLES | DISK_HOLES_IF_SPARSE : DISK_HOLES;
	struct disk *a = side_open(name[0], cmd_flags.format, snapshot[0], cache.direct, flags);
	struct disk *b = a ? side_open(name[1], b_format, snapshot[1], cache.direct, flags) : NULL;

	if (b)
		status = compare_print(a, b, strict);
	disk_close(a);
	disk_close(b);
	return cmd_finish_status(&c, status);
}
