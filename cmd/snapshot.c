/* qcow2-snapshot: internal snapshots of an image. */
#include "cmd/common.h"
#include "cmd/snapshot_table.h"
#include "image/disk.h"
#include "image/image.h"
#include "ops/snapshot.h"

static const struct cmd_about about = {
	.name = "snapshot",
	.operands = "FILE",
	.purpose = "List, take, delete and apply internal snapshots.",
	.examples = "  qcow2-snapshot --create=before-upgrade disk.qcow2\n"
		    "  qcow2-snapshot --list disk.qcow2\n"
		    "  qcow2-snapshot --apply=before-upgrade disk.qcow2\n"
		    "  qcow2-snapshot --delete=monday --delete=tuesday disk.qcow2\n",
};

struct choices {
	int list;
	const char *create, *apply;
	const char **delete;
};

static void choices_check(struct cmd *c, const struct choices *ch)
{
	int actions = ch->list + (ch->create != NULL) + (ch->apply != NULL) + (ch->delete != NULL);

	if (actions > 1)
		cmd_usage(c, "Cannot mix -l, -a, -c and -d");
	if (cmd_flags.json && actions && !ch->list)
		cmd_usage(c, "--output=json is for the list");
}

static int list(const struct spec *s, struct err *e)
{
	struct disk_options how = { .flags = DISK_NO_BACKING | DISK_NO_DATA_FILE |
					     DISK_ALLOW_ENCRYPTED,
				    .listener = &cmd_listener };
	const struct snapshot_entry *all = NULL;
	struct emit out;
	uint32_t nr = 0;
	struct disk *d = disk_open(s, &how, e);
	int ret = d ? 0 : -1;

	if (ret == 0 && disk_image(d, 0))
		ret = image_snapshots(disk_image(d, 0), &all, &nr, e);
	if (ret == 0) {
		out = emit_over(stdout, cmd_flags.json);
		if (cmd_flags.json)
			emit_begin_list(&out, NULL, NULL);
		snapshot_table_print(&out, all, nr);
		if (cmd_flags.json)
			emit_end(&out);
	}
	disk_close(d);
	return ret;
}

static int run(const char *file, const struct choices *ch, struct err *e)
{
	bool changes = ch->create || ch->apply || ch->delete;
	struct spec s = { 0 };
	struct snapshot_change c = { .spec = &s, .listener = &cmd_listener };
	int ret = operand_spec(&s, file, cmd_flags.format, e);

	if (ret == 0 && changes && s.force_share)
		ret = err_set(e, ERR_INVALID,
			      "Could not open '%s': force-share=on can only be used with read-only "
			      "images",
			      file);
	else if (ret == 0 && !changes)
		ret = list(&s, e);
	else if (ret == 0) {
		c.watch = cmd_watch(1);
		ret = ch->create  ? snapshot_create(&c, ch->create, e)
		      : ch->apply ? snapshot_apply(&c, ch->apply, e)
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
		{ "create", 'c', POPT_ARG_STRING, &ch.create, 0, "take a snapshot of the disk",
		  "NAME" },
		{ "apply", 'a', POPT_ARG_STRING, &ch.apply, 0,
		  "make the disk what it was: an id, or else a name, or id:ID", "SNAPSHOT" },
		{ "delete", 'd', POPT_ARG_ARGV, &ch.delete, 0,
		  "delete a snapshot: its name, or id:ID; may be repeated", "SNAPSHOT" },
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
