/* qcow2-bitmap: persistent bitmaps of an image. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cmd/bitmap_print.h"
#include "cmd/bitmap_ranges.h"
#include "cmd/common.h"
#include "image/disk.h"
#include "ops/bitmap.h"

static const struct cmd_about about = {
	.name = "bitmap",
	.operands = "FILE [BITMAP]",
	.purpose = "Change persistent bitmaps, which record what was written to a disk.",
	.examples = "  qcow2-bitmap --add disk.qcow2 monday\n"
		    "  qcow2-bitmap --list disk.qcow2\n"
		    "  qcow2-bitmap --disable --merge monday disk.qcow2 week\n"
		    "  qcow2-bitmap --dump --output=json disk.qcow2 monday\n"
		    "  qcow2-bitmap --remove disk.qcow2 monday\n",
};

struct choices {
	struct cmd_steps steps;
	int list, dump, remove_all;
	const char *granularity, *source, *source_format;
	const char *file, *name;
};

static bool has_step(const struct choices *ch, int what)
{
	for (size_t i = 0; i < ch->steps.nr; i++)
		if (ch->steps.items[i].what == what)
			return true;
	return false;
}

static void choices_check(struct cmd *c, const struct choices *ch)
{
	int others = ch->list + ch->dump + ch->remove_all;

	if (!others && !ch->steps.nr)
		cmd_usage(c, "Need at least one of --add, --remove, --clear, --enable, --disable, "
			     "--merge, --as-full or --import, or one of --list, --dump and "
			     "--remove-all");
	if (others > 1 || (others && ch->steps.nr))
		cmd_usage(c, "--list, --dump and --remove-all go with no other action");
	if (ch->granularity && !has_step(ch, BITMAP_ADD))
		cmd_usage(c, "granularity only supported with --add");
	if (ch->source && !has_step(ch, BITMAP_MERGE))
		cmd_usage(c, "Merge bitmap source file only supported with --merge");
	if (ch->source_format && !ch->source)
		cmd_usage(c, "-F only supported with -b");
	if (cmd_flags.output && !ch->list && !ch->dump)
		cmd_usage(c, "--output is for --list and --dump");
	if (cmd_flags.force_share && !ch->list && !ch->dump)
		cmd_usage(c, "-U is for --list and --dump");
}

static void operands_take(struct cmd *c, struct choices *ch)
{
	ch->file = cmd_arg(c, "FILE");
	if (!ch->list && !ch->remove_all)
		ch->name = cmd_arg(c, "BITMAP");
	cmd_no_more_args(c);
}

static struct bitmap *named(struct bitmap_set *s, const char *name, struct err *e)
{
	struct bitmap *b = bitmap_find(
		s, (struct bytes){ (const uint8_t *)name, strlen(name) });
	char shown[128];

	if (!b)
		err_set(e, ERR_NOTFOUND, "there is no bitmap '%s'",
			text_escape(name, strlen(name), shown, sizeof shown));
	return b;
}

static int print(struct bitmap_set *s, const struct choices *ch, struct err *e)
{
	struct bitmap *b = ch->dump ? named(s, ch->name, e) : NULL;
	struct emit out;
	int ret;

	if (ch->dump && (!b || bitmap_load(s, b, e) < 0))
		return err_ctx(e, "Could not dump bitmap '%s'", ch->name);
	out = emit_over(stdout, cmd_flags.json);
	if (cmd_flags.json)
		emit_begin_list(&out, NULL, NULL);
	ret = ch->dump ? bitmap_dump_print(&out, s, b, e) : bitmap_list_print(&out, s, e);
	if (cmd_flags.json)
		emit_end(&out);
	return ret;
}

static int show(const struct spec *spec, const struct choices *ch, struct err *e)
{
	struct disk_options how = { .flags = DISK_NO_BACKING | DISK_NO_DATA_FILE,
				    .listener = &cmd_listener };
	struct disk *d = disk_open_metadata(spec, &how, e);
	struct bitmap_set s = { 0 };
	struct err lost = ERR_INIT;
	int ret = d ? 0 : -1;

	if (d && !disk_image(d, 0))
		ret = err_set(e, ERR_UNSUPPORTED, "'%s': a raw image has no bitmaps", disk_name(d));
	else if (d)
		ret = bitmap_set_load(&s, disk_image(d, 0), e);
	if (ret == 0 && s.is_void) {
		cmd_warn("the bitmaps of '%s' are void: the disk was changed without them",
			 disk_name(d));
		if (bitmap_set_adopt(&s, &lost) < 0)
			cmd_warn("'%s': %s", disk_name(d), lost.text);
	}
	if (ret == 0)
		ret = print(&s, ch, e);
	bitmap_set_fini(&s);
	disk_close(d);
	return ret;
}

static int steps_take(const struct choices *ch, struct bitmap_step *steps, struct err *e)
{
	for (size_t i = 0; i < ch->steps.nr; i++) {
		struct bitmap_step *s = &steps[i];
		struct bitmap_range *ranges = NULL;

		s->action = (enum bitmap_action)ch->steps.items[i].what;
		s->source = ch->steps.items[i].value;
		if (s->action != BITMAP_IMPORT)
			continue;
		int ret = bitmap_ranges_load(s->source, &ranges, &s->ranges_nr, e);

		s->ranges = ranges;
		if (ret < 0)
			return -1;
	}
	return 0;
}

static int change(const struct spec *spec, const struct choices *ch, struct err *e)
{
	struct bitmap_step *steps = calloc(ch->steps.nr + 1, sizeof *steps);
	struct spec source = { 0 };
	struct bitmap_change c = { .spec = spec, .source = ch->source ? &source : NULL,
				   .name = ch->name, .steps = steps, .steps_nr = ch->steps.nr,
				   .listener = &cmd_listener };
	int ret = steps ? 0 : err_nomem(e);

	if (ret == 0 && ch->granularity)
		ret = size_from_text("granularity", ch->granularity, &c.granularity, e);
	if (ret == 0)
		ret = steps_take(ch, steps, e);
	cmd_flags.image_opts = 0; /* it says what FILE is */
	if (ret == 0 && ch->source)
		ret = operand_spec(&source, ch->source, ch->source_format, e);
	if (ret == 0) {
		c.watch = cmd_watch(1);
		ret = ch->remove_all ? bitmap_change_remove_all(&c, e) : bitmap_change(&c, e);
	}
	for (size_t i = 0; steps && i < ch->steps.nr; i++)
		free((void *)steps[i].ranges);
	free(steps);
	spec_fini(&source);
	return ret;
}

static int run(const struct choices *ch, struct err *e)
{
	struct spec s = { 0 };
	int ret = operand_spec(&s, ch->file, cmd_flags.format, e);

	if (ret == 0 && (ch->list || ch->dump))
		ret = show(&s, ch, e);
	else if (ret == 0 && s.force_share)
		ret = err_set(e, ERR_INVALID,
			      "Could not open '%s': force-share=on can only be used with read-only "
			      "images", ch->file);
	else if (ret == 0)
		ret = change(&s, ch, e);
	spec_fini(&s);
	return ret;
}

int main(int argc, const char **argv)
{
	static struct choices ch;
	struct poptOption options[] = {
		{ "add", 0, POPT_ARG_NONE, &ch.steps, BITMAP_ADD, "make a bitmap, enabled", NULL },
		{ "remove", 0, POPT_ARG_NONE, &ch.steps, BITMAP_REMOVE, "remove it", NULL },
		{ "clear", 0, POPT_ARG_NONE, &ch.steps, BITMAP_CLEAR,
		  "forget what is dirty", NULL },
		{ "enable", 0, POPT_ARG_NONE, &ch.steps, BITMAP_ENABLE,
		  "record changes from now on", NULL },
		{ "disable", 0, POPT_ARG_NONE, &ch.steps, BITMAP_DISABLE,
		  "record no changes any more", NULL },
		{ "merge", 0, POPT_ARG_STRING, &ch.steps, BITMAP_MERGE,
		  "make dirty what is dirty in another bitmap; may be repeated", "SRC" },
		{ "as-full", 0, POPT_ARG_NONE, &ch.steps, BITMAP_AS_FULL,
		  "make all of the disk dirty; an in-use bitmap can be used again", NULL },
		{ "import", 0, POPT_ARG_STRING, &ch.steps, BITMAP_IMPORT,
		  "make dirty what a JSON list of ranges says (-: standard input)", "FILE" },
		{ "granularity", 'g', POPT_ARG_STRING, &ch.granularity, 0,
		  "bytes that one bit stands for, with --add (default: a cluster, 4k..64k)",
		  "SIZE" },
		{ "source-file", 'b', POPT_ARG_STRING, &ch.source, 0,
		  "image in which --merge finds SRC (default: FILE)", "SRC_FILE" },
		{ "source-format", 'F', POPT_ARG_STRING, &ch.source_format, 0,
		  "format of SRC_FILE", "FMT" },
		{ "remove-all", 0, POPT_ARG_NONE, &ch.remove_all, 0,
		  "remove all bitmaps of FILE", NULL },
		{ "list", 0, POPT_ARG_NONE, &ch.list, 0, "list the bitmaps of FILE", NULL },
		{ "dump", 0, POPT_ARG_NONE, &ch.dump, 0,
		  "print the dirty ranges of BITMAP: start and length in bytes", NULL },
		OPTION_FORMAT, OPTION_IMAGE_OPTS, OPTION_FORCE_SHARE, OPTION_OUTPUT,
		OPTIONS_COMMON, POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	struct err e = ERR_INIT;

	choices_check(&c, &ch);
	operands_take(&c, &ch);
	return cmd_finish(&c, run(&ch, &e), &e);
}
