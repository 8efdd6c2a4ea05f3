/* qcow2-commit: move what an overlay holds into its backing file. */
#include <stdio.h>

#include "cmd/common.h"
#include "ops/commit.h"
#include "out/emit.h"

static const struct cmd_about about = {
	.name = "commit",
	.operands = "FILE",
	.purpose = "Write what an overlay holds into its backing file, and empty the overlay.",
	.examples = "  qcow2-commit overlay.qcow2\n"
		    "  qcow2-commit --progress --drop overlay.qcow2\n"
		    "  qcow2-commit --dry-run --base=base.qcow2 overlay.qcow2\n",
};

struct choices {
	const char *cache, *base, *rate;
	int drop, dry_run;
};

static int choices_take(const struct choices *ch, struct commit_options *o, bool *direct,
			struct err *e)
{
	struct cache_mode cache;

	if (cache_from_text("cache", ch->cache, &cache, e) < 0 ||
	    (ch->rate && size_from_text("rate limit", ch->rate, &o->rate, e) < 0))
		return -1;
	*direct = cache.direct;
	o->write_flags = cache_write_flags(&cache);
	o->base = ch->base;
	o->drop = ch->drop;
	o->listener = &cmd_listener;
	return 0;
}

static int plan_print(const struct commit_options *o, struct err *e)
{
	struct emit out = emit_over(stdout, cmd_flags.json);
	struct commit_measure m;

	if (commit_measure(o, &m, e) < 0)
		return -1;
	emit_begin(&out, NULL, NULL);
	emit_size(&out, "copied", "would copy", m.copied);
	emit_size(&out, "zeroed", "would write zeros over", m.zeroed);
	emit_size(&out, "grown", "base would grow by", m.size - m.base_size);
	emit_bool(&out, "emptied", "overlay would be emptied", m.emptied);
	emit_end(&out);
	return 0;
}

static int commit_run(const struct choices *ch, const char *file, struct err *e)
{
	struct commit_options o = { 0 };
	struct spec s = { 0 };
	bool direct;
	int ret = -1;

	if (choices_take(ch, &o, &direct, e) == 0 &&
	    operand_spec(&s, file, cmd_flags.format, e) == 0) {
		s.direct |= direct;
		o.file = &s;
		cmd_flags.progress &= !ch->dry_run; /* stdout holds the answer alone */
		o.watch = cmd_watch(1);
		ret = ch->dry_run ? plan_print(&o, e) : commit(&o, e);
	}
	spec_fini(&s);
	return ret;
}

int main(int argc, const char **argv)
{
	struct choices ch = { 0 };
	struct poptOption options[] = {
		OPTION_FORMAT, OPTION_IMAGE_OPTS,
		{ "cache", 't', POPT_ARG_STRING, &ch.cache, 0,
		  "cache mode of what is written (default: writeback)", "MODE" },
		{ "base", 'b', POPT_ARG_STRING, &ch.base, 0,
		  "a deeper layer, as the chain names it: takes all that is above it; implies "
		  "--drop",
		  "BASE" },
		{ "drop", 'd', POPT_ARG_NONE, &ch.drop, 0, "do not empty FILE afterwards", NULL },
		{ "rate-limit", 'r', POPT_ARG_STRING, &ch.rate, 0,
		  "copy at most this many bytes a second", "SIZE" },
		{ "dry-run", 0, POPT_ARG_NONE, &ch.dry_run, 0,
		  "only tell how much would be copied", NULL },
		OPTION_OUTPUT, OPTION_PROGRESS, OPTION_QUIET, OPTIONS_COMMON, POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *file = cmd_arg(&c, "FILE");
	struct err e = ERR_INIT;

	cmd_no_more_args(&c);
	if (cmd_flags.output && !ch.dry_run)
		cmd_usage(&c, "--output is for --dry-run");
	int ret = commit_run(&ch, file, &e);

	signals_watch_end(ret == 0);
	if (ret == 0 && !ch.dry_run && !cmd_flags.quiet)
		puts("Image committed.");
	return cmd_finish(&c, ret, &e);
}
