/* qcow2-measure: how large a new image would become. */
#include "cmd/common.h"
#include "cmd/creation.h"
#include "cmd/snapshot_option.h"
#include "image/disk.h"
#include "ops/measure.h"
#include "out/emit.h"

static const struct cmd_about about = {
	.name = "measure",
	.operands = "[FILE]",
	.purpose = "Tell how large a new image would become: empty, or a copy of FILE.",
	.examples = "  qcow2-measure -O qcow2 --size 10G\n"
		    "  qcow2-measure --output=json -O qcow2 -o cluster_size=2M disk.raw\n",
};

struct request {
	const char *file, *size, *snapshot, *target_format;
	const char **lists;
};

/* What must not or cannot go together. */
static void request_check(const struct cmd *c, const struct request *r)
{
	if (!r->file && (cmd_flags.format || cmd_flags.image_opts || r->snapshot))
		cmd_usage(c, "--image-opts, -f and -l need a FILE");
	if (!r->file == !r->size)
		cmd_usage(c, r->file ? "--size and a FILE exclude each other"
				     : "either --size or a FILE is needed");
}

/* A list of keys that serves create too may hold the format of a backing file that create is told
 * by -b, which measure does not have, or the use of a data file that somebody else names. Neither
 * changes a size. */
static void forget_lone_keys(struct create_options *o)
{
	if (!o->backing_name)
		o->backing_format = NULL;
	if (!o->data_file)
		o->data_file_raw = false;
}

static int target_take(struct measure_target *t, struct creation *k, const struct request *r,
		       struct err *e)
{
	uint64_t size = 0;

	if (r->size && size_from_text("image size", r->size, &size, e) < 0)
		return -1;
	k->lone_keys = true;
	if (creation_take(k, e) < 0)
		return -1;
	forget_lone_keys(&k->options);
	t->format = k->format;
	t->create = k->options;
	t->create.size = size;
	return 0;
}

static int measure_file(const struct request *r, const struct measure_target *t,
			struct measure *m, struct err *e)
{
	struct disk_options how = {
		.flags = DISK_HOLES | DISK_HOLES_IF_SPARSE,
		.listener = &cmd_listener,
	};
	struct option_list snapshot = { 0 };
	struct disk *d = NULL;
	struct spec s = { 0 };
	int ret = -1;

	if (snapshot_option(r->snapshot, &snapshot, &how, e) < 0 ||
	    operand_spec(&s, r->file, cmd_flags.format, e) < 0)
		goto out;
	d = disk_open(&s, &how, e);
	if (d)
		ret = measure_copy(d, t, cmd_watch(1), m, e);
out:
	disk_close(d);
	spec_fini(&s);
	option_list_fini(&snapshot);
	return ret;
}

static void measure_print(const struct measure *m)
{
	struct emit out = emit_over(stdout, cmd_flags.json);

	emit_begin(&out, NULL, NULL);
	emit_integer(&out, "required", "required size", m->required);
	emit_integer(&out, "fully-allocated", "fully allocated size", m->fully_allocated);
	if (m->has_bitmaps)
		emit_integer(&out, "bitmaps", "bitmaps size", m->bitmaps);
	emit_end(&out);
}

static int measure_run(const struct request *r, enum image_format format, struct err *e)
{
	struct measure_target t = { 0 };
	struct creation k;
	struct measure m;
	int ret = -1;

	creation_init(&k, format);
	if (creation_add_lists(&k, r->lists, e) < 0)
		goto out;
	if (k.list.help) {
		creation_print_help(format, false);
		ret = 0;
		goto out;
	}
	if (target_take(&t, &k, r, e) < 0)
		goto out;
	ret = r->file ? measure_file(r, &t, &m, e) : measure_new(&t, &m, e);
	if (ret == 0)
		measure_print(&m);
out:
	creation_fini(&k);
	return ret;
}

static bool wants_help(const char **lists)
{
	struct option_list l = { 0 };
	struct err e = ERR_INIT;

	for (; lists && *lists && !l.help; lists++)
		if (option_list_parse(&l, *lists, &e) < 0)
			break;
	bool help = l.help;

	option_list_fini(&l);
	return help;
}

int main(int argc, const char **argv)
{
	struct request r = { .target_format = "raw" };
	struct poptOption options[] = {
		{ "target-format", 'O', POPT_ARG_STRING, &r.target_format, 0,
		  "format of the new image: raw (the default) or qcow2", "FMT" },
		{ "options", 'o', POPT_ARG_ARGV, &r.lists, 0,
		  "creation options of the new image (-o help lists them)", "LIST" },
		{ "size", 's', POPT_ARG_STRING, &r.size, 0,
		  "measure an empty image for a disk of this size", "SIZE" },
		{ "snapshot", 'l', POPT_ARG_STRING, &r.snapshot, 0,
		  "measure a copy of this internal snapshot of FILE", "SNAPSHOT" },
		{ "source-format", 0, POPT_ARG_STRING, &cmd_flags.format, 0,
		  "the same as --format", "FMT" },
		{ "source-image-opts", 0, POPT_ARG_NONE, &cmd_flags.image_opts, 0,
		  "the same as --image-opts", NULL },
		OPTION_FORMAT, OPTION_IMAGE_OPTS, OPTION_FORCE_SHARE, OPTION_OUTPUT,
		OPTIONS_COMMON, POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	enum image_format format;
	struct err e = ERR_INIT;
	int ret = -1;

	r.file = cmd_optional_arg(&c);
	cmd_no_more_args(&c);
	if (!wants_help(r.lists))
		request_check(&c, &r);
	if (operand_format(r.target_format, &format, &e) == 0)
		ret = measure_run(&r, format, &e);
	return cmd_finish(&c, ret, &e);
}
