/* qcow2-dd: copies a window of a disk, counted in blocks. */
#include <inttypes.h>
#include <string.h>

#include "base/size.h"
#include "cmd/common.h"
#include "cmd/creation.h"
#include "image/disk.h"
#include "ops/dd.h"

#define BLOCK_DEFAULT 512
#define BLOCK_MAX     2147483647

static const struct cmd_about about = {
	.name = "dd",
	.operands = "[bs=N] [count=N] [skip=N] if=FILE of=FILE",
	.purpose = "Copy a disk, or a window of it, into a new image.",
	.examples = "  qcow2-dd if=disk.qcow2 of=disk.raw\n"
		    "  qcow2-dd -O qcow2 bs=1M skip=1 if=disk.raw of=rest.qcow2\n",
};

struct operands {
	const char *in, *out;
	uint64_t block, count, skip;
	bool has_count, has_skip;
};

static int block_take(const char *text, uint64_t *block, struct err *e)
{
	if (size_from_text("bs", text, block, e) < 0)
		return -1;
	if (!*block || *block > BLOCK_MAX)
		return err_set(e, ERR_INVALID,
			       "Invalid bs specified: '%s' is not between 1 and %d", text,
			       BLOCK_MAX);
	return 0;
}

static int operand_take(struct operands *o, const char *word, struct err *e)
{
	const char *equals = strchr(word, '=');
	int key_len = equals ? (int)(equals - word) : (int)strlen(word);
	const char *value = equals ? equals + 1 : "";

	if (equals && strncmp(word, "if=", 3) == 0) {
		o->in = value;
	} else if (equals && strncmp(word, "of=", 3) == 0) {
		o->out = value;
	} else if (equals && strncmp(word, "bs=", 3) == 0) {
		return block_take(value, &o->block, e);
	} else if (equals && strncmp(word, "count=", 6) == 0) {
		o->has_count = true;
		return size_from_text("count", value, &o->count, e);
	} else if (equals && strncmp(word, "skip=", 5) == 0) {
		o->has_skip = true;
		return size_from_text("skip", value, &o->skip, e);
	} else {
		return err_set(e, ERR_INVALID, "unrecognized operand '%.*s'", key_len, word);
	}
	return 0;
}

static int operands_take(struct operands *o, struct cmd *c, struct err *e)
{
	const char *word;

	while ((word = cmd_optional_arg(c)))
		if (operand_take(o, word, e) < 0)
			return -1;
	if (!o->in || !o->out)
		return err_set(e, ERR_INVALID, "both if= and of= are needed");
	return 0;
}

/* The copy ends where `count` blocks of the *input* end: other programs of this kind do so,
 * and nobody expects it. */
static void note_window(const struct operands *o)
{
	if (!o->has_count || !o->has_skip)
		return;
	if (o->count > o->skip)
		cmd_note("count=%" PRIu64 " is counted from the beginning of the input: "
			 "with skip=%" PRIu64 " up to %" PRIu64 " blocks are copied",
			 o->count, o->skip, o->count - o->skip);
	else
		cmd_note("count=%" PRIu64 " is counted from the beginning of the input: "
			 "with skip=%" PRIu64 " nothing is copied",
			 o->count, o->skip);
}

static int dd_run(const struct operands *o, enum image_format format, struct err *e)
{
	const struct disk_options how = { .flags = DISK_HOLES, .listener = &cmd_listener };
	struct dd_options d = {
		.block = o->block, .skip = o->skip, .count = o->count, .format = format,
		.listener = &cmd_listener,
	};
	struct spec s = { 0 };
	bool skipped_all = false;
	int ret = -1;

	if (operand_path(o->out, &d.target, e) < 0 ||
	    operand_spec(&s, o->in, cmd_flags.format, e) < 0)
		goto out;
	d.source = disk_open(&s, &how, e);
	if (!d.source)
		goto out;
	cmd_flags.quiet = true; /* no progress, also not on request */
	d.watch = cmd_watch(1);
	ret = dd_copy(&d, &skipped_all, e);
	if (ret == 0 && skipped_all)
		cmd_error("%s: cannot skip to specified offset", o->in);
out:
	disk_close(d.source);
	spec_fini(&s);
	return ret;
}

int main(int argc, const char **argv)
{
	struct operands o = { .block = BLOCK_DEFAULT, .count = UINT64_MAX };
	const char *target_format = NULL;
	struct poptOption options[] = {
		{ "target-format", 'O', POPT_ARG_STRING, &target_format, 0,
		  "format of the new image: raw (the default) or qcow2", "FMT" },
		OPTION_FORMAT, OPTION_IMAGE_OPTS, OPTION_FORCE_SHARE, OPTIONS_COMMON,
		POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	enum image_format format;
	struct err e = ERR_INIT;
	int ret = -1;

	if (operands_take(&o, &c, &e) < 0)
		cmd_usage(&c, "%s", e.text);
	note_window(&o);
	if (!target_format)
		creation_warn_extension(o.out, "--target-format");
	if (operand_format(target_format ? target_format : "raw", &format, &e) == 0)
		ret = dd_run(&o, format, &e);
	return cmd_finish(&c, ret, &e);
}
