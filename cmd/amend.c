/* qcow2-amend: changes what an image is. */
#include "cmd/amend_keys.h"
#include "cmd/amend_options.h"
#include "cmd/common.h"

static const struct cmd_about about = {
	.name = "amend",
	.operands = "FILE",
	.purpose = "Change options of an image that were chosen when it was created.",
	.examples = "  qcow2-amend -o compat=0.10 disk.qcow2\n"
		    "  qcow2-amend -o refcount_bits=64,lazy_refcounts=on disk.qcow2\n"
		    "  qcow2-amend --passphrase-file=old --object secret,id=new,file=new \\\n"
		    "      -o encrypt.state=active,encrypt.new-secret=new disk.qcow2\n"
		    "  qcow2-amend -f qcow2 -o help\n",
};

static int cache_take(const char *word, unsigned *write_flags, struct err *e)
{
	struct cache_mode m;

	if (cache_from_text("cache", word, &m, e) < 0)
		return -1;
	*write_flags = cache_write_flags(&m);
	return 0;
}

static int lists_parse(struct option_list *l, const char *const *lists, struct err *e)
{
	for (; lists && *lists; lists++)
		if (option_list_parse(l, *lists, e) < 0)
			return -1;
	return 0;
}

static int image_amend(const char *name, const char *cache, struct option_list *l, bool force,
		       struct err *e)
{
	struct amend_options o = { .force = force, .listener = &cmd_listener,
				   .watch = cmd_watch(1) };
	struct key_change keys;
	struct spec s = { 0 };
	bool has_keys;
	int ret = -1;

	if (cache_take(cache, &o.write_flags, e) == 0 &&
	    amend_keys_take(l, &keys, &has_keys, e) == 0 && amend_options_take(l, &o, e) == 0 &&
	    operand_spec(&s, name, cmd_flags.format, e) == 0) {
		o.keys = has_keys ? &keys : NULL;
		ret = amend(&s, &o, e);
	}
	signals_watch_end(ret == 0);
	spec_fini(&s);
	return ret;
}

/* The format of the image that is named, or else the one that -f names. */
static int format_find(const char *name, enum image_format *format, struct err *e)
{
	const struct disk_options how = { .flags = DISK_NO_BACKING | DISK_NO_DATA_FILE,
					  .listener = &cmd_listener };
	struct spec s = { 0 };
	struct disk *d = NULL;

	if (!name)
		return operand_format(cmd_flags.format, format, e);
	if (operand_spec(&s, name, cmd_flags.format, e) == 0) {
		s.force_share = true;
		d = disk_open_metadata(&s, &how, e);
	}
	if (d)
		*format = disk_format(d);
	disk_close(d);
	spec_fini(&s);
	return d ? 0 : -1;
}

static int help(struct cmd *c, struct err *e)
{
	const char *name = cmd_optional_arg(c);
	enum image_format format;

	cmd_no_more_args(c);
	if (!name && !cmd_flags.format)
		cmd_usage(c, "-o help needs a format (-f) or a FILE");
	if (format_find(name, &format, e) < 0)
		return -1;
	if (format != FORMAT_QCOW2)
		return err_set(e, ERR_UNSUPPORTED,
			       "Format driver '%s' does not support option amendment",
			       format_name(format));
	amend_options_print_help();
	return 0;
}

int main(int argc, const char **argv)
{
	const char **lists = NULL, *cache = NULL;
	int force = 0, ret = -1;
	struct poptOption options[] = {
		OPTION_FORMAT,
		OPTION_IMAGE_OPTS,
		{ NULL, 'o', POPT_ARG_ARGV, &lists, 0,
		  "what to change: KEY=VALUE,...; -o help lists the keys", "LIST" },
		{ "cache", 't', POPT_ARG_STRING, &cache, 0,
		  "cache mode of FILE (default: writeback)", "MODE" },
		{ "force", 0, POPT_ARG_NONE, &force, 0,
		  "do what takes something away: make the disk shorter, drop bitmaps, "
		  "overwrite a key slot in use, erase the last one", NULL },
		OPTION_PROGRESS,
		OPTION_QUIET,
		OPTIONS_COMMON,
		POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	struct option_list l = { 0 };
	struct err e = ERR_INIT;

	if (!lists)
		cmd_usage(&c, "Must specify options (-o)");
	if (lists_parse(&l, lists, &e) == 0 && l.help) {
		ret = help(&c, &e);
	} else if (!err_is(&e)) {
		const char *name = cmd_arg(&c, "FILE");

		cmd_no_more_args(&c);
		ret = image_amend(name, cache, &l, force, &e);
	}
	option_list_fini(&l);
	return cmd_finish(&c, ret, &e);
}
