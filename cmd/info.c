/* qcow2-info: what an image says about itself. */
#include <stdlib.h>
#include <string.h>

#include "cmd/common.h"
#include "cmd/image_opts.h"
#include "cmd/info_print.h"

static const struct cmd_about about = {
	.name = "info",
	.operands = "FILE",
	.purpose = "Show what a disk image says about itself.",
	.examples = "  qcow2-info disk.qcow2\n"
		    "  qcow2-info --output=json disk.qcow2\n"
		    "  qcow2-info --backing-chain overlay.qcow2\n",
};

struct choices {
	int chain, limits;
	const char *cache;
};

static int print(const struct info *info, const char *name, const struct choices *c, struct err *e)
{
	struct emit out = emit_over(stdout, cmd_flags.json);
	const char *children = getenv("QCOW2_TOOLS_CHILDREN");
	struct info_style style = {
		.limits = c->limits,
		.children = !children || strcmp(children, "0") != 0,
	};

	if (c->chain)
		emit_begin_list(&out, NULL, NULL);
	for (size_t i = 0; i < info->nr; i++) {
		if (i)
			emit_line(&out, "%s", "");
		if (info_print(&out, &info->layers[i], i ? info->layers[i].path : name, &style, e) < 0)
			return -1;
	}
	if (c->chain)
		emit_end(&out);
	return 0;
}

static int show(const char *file, const struct choices *c, struct err *e)
{
	struct cache_mode cache;
	struct info info = { 0 };
	struct spec spec = { 0 };
	char *special = NULL;
	bool plain = true;
	int ret = -1;

	if (cache_from_text("cache", c->cache, &cache, e) < 0 ||
	    operand_spec(&spec, file, cmd_flags.format, e) < 0 ||
	    info_load(&info, &spec, c->chain, &cmd_listener, e) < 0)
		goto out;
	special = image_opts_name(&spec, &plain);
	if (!plain && !special) {
		err_nomem(e);
		goto out;
	}
	ret = print(&info, plain ? spec.path : special, c, e);
out:
	free(special);
	info_fini(&info);
	spec_fini(&spec);
	return ret;
}

int main(int argc, const char **argv)
{
	struct choices choices = { 0 };
	struct poptOption options[] = {
		OPTION_FORMAT,
		OPTION_IMAGE_OPTS,
		{ "backing-chain", 0, POPT_ARG_NONE, &choices.chain, 0,
		  "show the backing files too, one after the other", NULL },
		{ "limits", 0, POPT_ARG_NONE, &choices.limits, 0,
		  "show the units in which the image can be accessed", NULL },
		{ "cache", 't', POPT_ARG_STRING, &choices.cache, 0,
		  "cache mode; checked, has no effect", "CACHE" },
		OPTION_FORCE_SHARE,
		OPTION_OUTPUT,
		OPTIONS_COMMON,
		POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *file = cmd_arg(&c, "FILE");

	cmd_no_more_args(&c);
	cmd_flags.keeps_locked = true;

	struct err e = ERR_INIT;
	int ret = show(file, &choices, &e);

	return cmd_finish(&c, ret, &e);
}
