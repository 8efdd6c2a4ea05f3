/* qcow2-snapshot: internal snapshots of an image. */
#include <stdlib.h>

#include "cmd/common.h"
#include "cmd/snapshot_table.h"
#include "image/disk.h"
#include "image/image.h"
#include "ops/snapshot.h"
#include "ops/snapshot_diff.h"
#include "out/spool.h"

#define COLUMN 16

static const struct cmd_about about = {
	.name = "snapshot",
	.operands = "FILE",
	.purpose = "List, take, delete, apply and compare internal snapshots.",
	.examples = "  qcow2-snapshot --create=before-upgrade disk.qcow2\n"
		    "  qcow2-snapshot --list disk.qcow2\n"
		    "  qcow2-snapshot --apply=before-upgrade disk.qcow2\n"
		    "  qcow2-snapshot --delete=monday --delete=tuesday disk.qcow2\n"
		    "  qcow2-snapshot --diff=monday --against=tuesday disk.qcow2\n",
};

struct choices {
	int list;
	const char *diff, *against;
	const char **create, **apply, **delete;
};

static int count(const char *const *values)
{
	int nr = 0;

	while (values && values[nr])
		nr++;
	return nr;
}

static void choices_check(struct cmd *c, const struct choices *ch)
{
	int changes = count(ch->create) + count(ch->apply) + (ch->delete != NULL);

	if (ch->list + changes + (ch->diff != NULL) > 1)
		cmd_usage(c, "Cannot mix -l, -a, -c, -d and --diff, and only -d may be repeated");
	if (ch->against && !ch->diff)
		cmd_usage(c, "--against needs --diff");
	if (cmd_flags.json && changes)
		cmd_usage(c, "--output=json is for the list and for --diff");
}

/* What each takes is for those who ask, for it is found in all tables. NULL: nobody asked, or it
 * cannot be told, which is no reason to keep the list back. */
static int sizes_find(struct image *img, uint32_t nr, struct snapshot_size **sizes, struct err *e)
{
	struct err why = ERR_INIT;

	*sizes = NULL;
	if (!nr || !(cmd_flags.verbose || cmd_flags.json))
		return 0;
	*sizes = calloc(nr, sizeof **sizes);
	if (!*sizes)
		return err_nomem(e);
	if (image_snapshot_sizes(img, *sizes, cmd_watch(1), &why) == 0)
		return 0;
	free(*sizes);
	*sizes = NULL;
	if (why.code == ERR_STOPPED)
		return err_set(e, ERR_STOPPED, "interrupted");
	cmd_warn("what the snapshots take is not known: %s", why.text);
	return 0;
}

static int list(const struct spec *s, struct err *e)
{
	struct disk_options how = { .flags = DISK_NO_BACKING | DISK_NO_DATA_FILE,
				    .listener = &cmd_listener };
	const struct snapshot_entry *all = NULL;
	struct snapshot_size *sizes = NULL;
	struct emit out;
	uint32_t nr = 0;
	struct disk *d = disk_open_metadata(s, &how, e);
	struct image *img = d ? disk_image(d, 0) : NULL;
	int ret = d ? 0 : -1;

	if (img && (image_snapshots(img, &all, &nr, e) < 0 || sizes_find(img, nr, &sizes, e) < 0))
		ret = -1;
	if (ret == 0) {
		out = emit_over(stdout, cmd_flags.json);
		if (cmd_flags.json)
			emit_begin_list(&out, NULL, NULL);
		snapshot_table_print(&out, all, sizes, nr);
		if (cmd_flags.json)
			emit_end(&out);
	}
	free(sizes);
	disk_close(d);
	return ret;
}

struct ranges {
	struct spool out;
	uint64_t rows;
};

static int print_range(void *arg, const struct snapshot_range *r, struct err *e)
{
	struct ranges *p = arg;

	(void)e;
	if (!cmd_flags.json) {
		spool_hex(&p->out, r->start, COLUMN);
		spool_hex(&p->out, r->length, 0);
		spool_text(&p->out, "\n");
		return 0;
	}
	spool_text(&p->out, p->rows++ ? ",\n{ \"start\": " : "{ \"start\": ");
	spool_decimal(&p->out, r->start);
	spool_text(&p->out, ", \"length\": ");
	spool_decimal(&p->out, r->length);
	spool_text(&p->out, "}");
	return 0;
}

static int diff(const struct spec *s, const struct choices *ch, struct err *e)
{
	const struct snapshot_diff d = { s, ch->diff, ch->against, &cmd_listener };
	struct ranges p = { 0 };
	int ret;

	if (!spool_begin(&p.out, stdout, true))
		return err_nomem(e);
	spool_text(&p.out, cmd_flags.json ? "[" : "Offset          Length\n");
	ret = snapshot_diff(&d, print_range, &p, cmd_watch(1), e);
	if (cmd_flags.json)
		spool_text(&p.out, "]\n");
	if (!spool_end(&p.out, ret == 0) && ret == 0 && !ferror(stdout))
		ret = err_set(e, ERR_IO, "the temporary file for the output failed");
	return ret;
}

static int run(const char *file, const struct choices *ch, struct err *e)
{
	bool changes = ch->create || ch->apply || ch->delete;
	struct spec s = { 0 };
	struct snapshot_change c = { .spec = &s, .listener = &cmd_listener };
	int ret;

	cmd_flags.keeps_locked = !changes && !ch->diff;
	ret = operand_spec(&s, file, cmd_flags.format, e);

	if (ret == 0 && changes && s.force_share)
		ret = err_set(e, ERR_INVALID,
			      "Could not open '%s': force-share=on can only be used with read-only "
			      "images",
			      file);
	else if (ret == 0 && !changes)
		ret = ch->diff ? diff(&s, ch, e) : list(&s, e);
	else if (ret == 0) {
		c.watch = cmd_watch(1);
		ret = ch->create  ? snapshot_create(&c, *ch->create, e)
		      : ch->apply ? snapshot_apply(&c, *ch->apply, e)
				  : snapshot_delete(&c, ch->delete, e);
	}
	spec_fini(&s);
	return ret;
}

int main(int argc, const char **argv)
{
	struct choices ch = { 0 };
	struct poptOption options[] = {
		OPTION_FORMAT,
		OPTION_IMAGE_OPTS,
		{ "list", 'l', POPT_ARG_NONE, &ch.list, 0, "list the snapshots (the default)",
		  NULL },
		{ "create", 'c', POPT_ARG_ARGV, &ch.create, 0, "take a snapshot of the disk",
		  "NAME" },
		{ "apply", 'a', POPT_ARG_ARGV, &ch.apply, 0,
		  "make the disk what it was: an id, or else a name, or id:ID", "SNAPSHOT" },
		{ "delete", 'd', POPT_ARG_ARGV, &ch.delete, 0,
		  "delete a snapshot: its name, or id:ID; may be repeated", "SNAPSHOT" },
		{ "diff", 0, POPT_ARG_STRING, &ch.diff, 0,
		  "show where the disk differs from this snapshot", "SNAPSHOT" },
		{ "against", 0, POPT_ARG_STRING, &ch.against, 0,
		  "with --diff: where this snapshot does, not the disk", "SNAPSHOT" },
		OPTION_OUTPUT,
		OPTION_FORCE_SHARE,
		OPTION_QUIET,
		OPTIONS_COMMON,
		POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *file = cmd_arg(&c, "FILE");
	struct err e = ERR_INIT;

	cmd_no_more_args(&c);
	choices_check(&c, &ch);
	return cmd_finish(&c, run(file, &ch, &e), &e);
}
