/* qcow2-resize: makes a disk longer or shorter. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cmd/common.h"
#include "ops/resize.h"

static const struct cmd_about about = {
	.name = "resize",
	.operands = "FILE [+|-]SIZE",
	.purpose = "Make the disk in an image longer or shorter.",
	.examples = "  qcow2-resize disk.qcow2 +10G\n"
		    "  qcow2-resize --shrink disk.qcow2 5G\n",
	.signed_operand = true,
};

static int preallocation_from_text(const char *word, enum preallocation *p, struct err *e)
{
	static const char *const words[] = { "off", "metadata", "falloc", "full" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(word, words[i]) == 0) {
			*p = (enum preallocation)i;
			return 0;
		}
	return err_set(e, ERR_INVALID,
		       "Invalid preallocation mode '%s': one of off, metadata, falloc, full", word);
}

/* One sign says that the size is relative; a second one is no part of a number. */
static int change_from_text(const char *text, struct size_change *by, struct err *e)
{
	const char *number = text;
	char next;

	*by = (struct size_change){ .how = *text == '+'   ? SIZE_ADD
					   : *text == '-' ? SIZE_SUBTRACT
							  : SIZE_SET };
	if (by->how != SIZE_SET)
		number++;
	next = number[strspn(number, " \t\n\v\f\r")];
	if (by->how != SIZE_SET && (next == '+' || next == '-'))
		return err_set(e, ERR_INVALID, "Parameter 'size': '%s' has more than one sign",
			       text);
	return size_from_parameter("size", number, &by->bytes, e);
}

static void refuse_shrinking(uint64_t now, uint64_t size)
{
	char was[SIZE_TEXT_MAX], will_be[SIZE_TEXT_MAX];

	cmd_error("Use the --shrink option to make the disk smaller: from %s (%" PRIu64
		  " bytes) to %s (%" PRIu64 " bytes)",
		  size_render(now, was), now, size_render(size, will_be), size);
	cmd_warn("Shrinking an image deletes what lies behind the new end of the disk; first make "
		 "sure that nothing there is needed");
}

struct request {
	struct size_change by;
	struct resize_options options;
	bool may_shrink;
};

/* 1: refused, and said why. */
static int resize_run(const struct spec *s, struct request *q, struct err *e)
{
	struct disk *d = resize_open(s, &cmd_listener, e);
	int ret = -1;

	if (!d)
		return -1;
	operand_warn_probed(s, disk_format(d));
	if (resize_target(d, &q->by, &q->options.size, e) == 0) {
		bool shrinks = q->options.size < disk_size(d);

		if (shrinks && !q->may_shrink && !q->options.preallocation) {
			refuse_shrinking(disk_size(d), q->options.size);
			ret = 1;
		} else {
			ret = resize_disk(d, &q->options, &cmd_listener, cmd_watch(100), e);
		}
	}
	disk_close(d);
	return ret;
}

int main(int argc, const char **argv)
{
	const char *preallocation = "off";
	int shrink = 0, ret = -1;
	struct poptOption options[] = {
		OPTION_FORMAT,
		{ "preallocation", 0, POPT_ARG_STRING, &preallocation, 0,
		  "space for what is added: off (the default), metadata, falloc or full", "MODE" },
		{ "shrink", 0, POPT_ARG_NONE, &shrink, 0,
		  "the disk may become smaller, and lose what lies behind its new end", NULL },
		OPTION_IMAGE_OPTS, OPTION_QUIET, OPTIONS_COMMON, POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *name = cmd_arg(&c, "FILE"), *size = cmd_arg(&c, "SIZE");
	struct request q = { .may_shrink = shrink };
	struct err e = ERR_INIT;
	struct spec s = { 0 };

	cmd_no_more_args(&c);
	if (change_from_text(size, &q.by, &e) == 0 &&
	    preallocation_from_text(preallocation, &q.options.preallocation, &e) == 0 &&
	    operand_spec(&s, name, cmd_flags.format, &e) == 0)
		ret = resize_run(&s, &q, &e);
	spec_fini(&s);
	if (ret == 0 && !cmd_flags.quiet)
		puts("Image resized.");
	return ret > 0 ? cmd_finish_status(&c, 1) : cmd_finish(&c, ret, &e);
}
