/* qcow2-create: make a new, empty image. */
#include "cmd/common.h"
#include "cmd/creation.h"
#include "cmd/secrets.h"
#include "ops/create.h"

static const struct cmd_about about = {
	.name = "create",
	.operands = "FILE [SIZE]",
	.purpose = "Make a new, empty disk image.",
	.examples = "  qcow2-create --format=qcow2 disk.qcow2 20G\n"
		    "  qcow2-create --format=qcow2 --backing=base.qcow2 "
		    "--backing-format=qcow2 overlay.qcow2\n"
		    "  qcow2-create --format=qcow2 --options=help\n",
};

struct choices {
	const char *backing, *backing_format;
	const char **lists;
	const char *file; /* as typed */
	int unchecked, no_clobber;
	bool has_size;
	uint64_t size; /* the operand */
};

/* The keys of -o, and what the short options say in their words. */
static int keys_collect(struct creation *k, const struct choices *c, struct err *e)
{
	if ((c->backing && creation_add(k, "backing_file", c->backing, e) < 0) ||
	    (c->backing_format && creation_add(k, "backing_fmt", c->backing_format, e) < 0) ||
	    creation_take(k, e) < 0)
		return -1;
	if (secrets_passphrase().p && k->options.encryption.method == CRYPT_NONE)
		return err_set(e, ERR_INVALID,
			       "--passphrase-file is for an encrypted image, and nothing says how "
			       "this one is to be encrypted: -o encrypt.format=luks does");
	if (k->has_size && c->has_size)
		return err_set(e, ERR_INVALID, "The image size must be specified only once");
	if (c->has_size)
		creation_set_size(k, c->size);
	return 0;
}

static int image_prepare(struct creation *k, const struct choices *c, struct new_image *n,
			 struct err *e)
{
	if (keys_collect(k, c, e) < 0 ||
	    creation_need_backing_format(k, "Backing file specified without backing format", e) < 0)
		return -1;
	n->format = k->format;
	n->options = k->options;
	n->has_size = k->has_size;
	n->backing_unchecked = c->unchecked;
	n->exclusive = c->no_clobber;
	n->options.encryption.watch = n->watch;
	return new_image_prepare(n, e) < 0 ? -1 : new_image_check(n, e);
}

static int image_make(struct creation *k, const struct choices *c, struct new_image *n,
		      struct err *e)
{
	if (image_prepare(k, c, n, e) < 0)
		return err_ctx(e, "%s", n->path);
	if (!k->has_size)
		creation_set_size(k, n->options.size);
	if (!cmd_flags.quiet) {
		creation_print(k, c->file);
		/* Who does not hear of it gets no image, either. */
		if (cmd_stdout_check(e) < 0)
			return -1;
	}
	if (n->format == FORMAT_RAW)
		creation_warn_extension(n->path, "--format");
	creation_warn_weak(k);
	return new_image_make(n, e);
}

static int keys_begin(struct creation *k, const struct choices *choices, struct err *e)
{
	creation_init(k, FORMAT_RAW);
	if (cmd_flags.format && !format_by_name(cmd_flags.format, &k->format))
		return err_set(e, ERR_INVALID, "Unknown file format '%s'", cmd_flags.format);
	return creation_add_lists(k, choices->lists, e);
}

static int operands_take(struct cmd *c, struct choices *choices, const char **path,
			 struct err *e)
{
	const char *file = cmd_arg(c, "FILE");
	const char *size = cmd_optional_arg(c);

	cmd_no_more_args(c);
	choices->file = file;
	choices->has_size = size != NULL;
	if (size && size_from_text("image size", size, &choices->size, e) < 0)
		return -1;
	return operand_path(file, path, e);
}

int main(int argc, const char **argv)
{
	struct choices choices = { 0 };
	struct poptOption options[] = {
		{ "format", 'f', POPT_ARG_STRING, &cmd_flags.format, 0,
		  "format of the new image: raw (the default) or qcow2", "FMT" },
		{ "options", 'o', POPT_ARG_ARGV, &choices.lists, 0,
		  "creation keys, KEY=VALUE,...; \"help\" lists them", "LIST" },
		{ "backing", 'b', POPT_ARG_STRING, &choices.backing, 0,
		  "image that shows through where the new one is empty", "NAME" },
		{ "backing-format", 'F', POPT_ARG_STRING, &choices.backing_format, 0,
		  "format of the backing file: raw or qcow2", "FMT" },
		{ NULL, 'B', POPT_ARG_STRING, &choices.backing_format, 0, "the same as -F",
		  "FMT" },
		{ "backing-unsafe", 'u', POPT_ARG_NONE, &choices.unchecked, 0,
		  "do not open the backing file", NULL },
		{ "no-clobber", 0, POPT_ARG_NONE, &choices.no_clobber, 0,
		  "refuse to overwrite an existing file", NULL },
		OPTION_QUIET,
		OPTIONS_COMMON,
		POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	struct err e = ERR_INIT;
	struct creation keys;
	struct new_image image = { .listener = &cmd_listener };
	int ret = keys_begin(&keys, &choices, &e);

	if (ret == 0 && keys.list.help) {
		creation_print_help(keys.format, cmd_optional_arg(&c) != NULL);
	} else if (ret == 0) {
		ret = operands_take(&c, &choices, &image.path, &e);
		image.watch = cmd_watch(100);
		if (ret == 0)
			ret = image_make(&keys, &choices, &image, &e);
	}
	if (ret < 0) {
		cmd_error_of(&e);
		creation_hint_backing_format(argc, argv, &about, &keys, image.path);
	}
	creation_fini(&keys);
	return cmd_finish_status(&c, ret < 0);
}
