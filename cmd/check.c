/* qcow2-check: whether an image contradicts itself. */
#include <stdlib.h>
#include <string.h>

#include "cmd/check_report.h"
#include "cmd/common.h"

static const struct cmd_about about = {
	.name = "check",
	.operands = "FILE",
	.purpose = "Check the metadata of a qcow2 image for errors and lost space.",
	.examples = "  qcow2-check disk.qcow2\n"
		    "  qcow2-check --output=json --details disk.qcow2\n",
};

#define LINES_DEFAULT 1000                  /* of one kind */
#define DETAILS_DEFAULT (UINT64_C(1) << 17) /* in all: about 30 MiB at most */

static int image_check_print(struct image *img, const char *name, const struct spec *s,
			     bool deep, struct check_report *rep)
{
	struct check_options o = { .found = check_report_found,
				   .arg = rep,
				   .watch = cmd_watch(2),
				   .deep = deep,
				   .impact = &rep->impact,
				   .orphans = &rep->orphans };
	struct check_result r;
	struct err e = ERR_INIT;
	int ret = check_image(img, &o, &r, &e);

	signals_watch_end(ret == 0);
	if (ret == 0 && rep->no_memory)
		ret = err_nomem(&e);
	if (ret < 0) {
		cmd_error_of(&e);
		return STATUS_FAILED;
	}
	check_report_rest(rep);
	impact_find_partitions(&rep->impact, s);
	if (cmd_flags.json)
		check_report_json(name, &r, rep);
	else
		check_report_human(&r, rep);
	return check_status_of(&r);
}

static int check_file(const char *name, const struct cache_mode *cache, bool deep,
		      struct check_report *rep)
{
	struct err e = ERR_INIT;
	struct spec s = { 0 };
	struct image *img = NULL;
	int status = STATUS_FAILED, ret = operand_spec(&s, name, cmd_flags.format, &e);

	if (ret == 0) {
		s.direct = s.direct || cache->direct;
		ret = check_open(&s, &cmd_listener, &img, &e);
	}
	if (ret < 0) {
		cmd_error_of(&e);
	} else if (!img) {
		cmd_error("'%s': raw images have no metadata that could be checked", name);
		status = STATUS_NO_CHECK;
	} else {
		status = image_check_print(img, name, &s, deep, rep);
	}
	image_close(img);
	spec_fini(&s);
	return status;
}

static _Noreturn void refuse_repair(const struct cmd *c, const char *word)
{
	if (strcmp(word, "leaks") != 0 && strcmp(word, "all") != 0)
		cmd_usage(c, "--repair must be leaks or all, not '%s'", word);
	if (cmd_flags.force_share)
		cmd_usage(
		    c,
		    "--repair writes to the image: it can't go with -U (force-share=on)");
	cmd_error("--repair is not supported by this version; without it the image is checked and "
		  "left as it is");
	exit(STATUS_FAILED);
}

int main(int argc, const char **argv)
{
	const char *cache_word = NULL, *repair = NULL, *max_errors = NULL;
	int details = 0, deep = 0;
	struct poptOption options[] = {
		OPTION_FORMAT,
		{ "repair", 'r', POPT_ARG_STRING, &repair, 0,
		  "repair what can be repaired (not in this version)", "leaks|all" },
		{ "cache", 'T', POPT_ARG_STRING, &cache_word, 0,
		  "cache mode for reading (default: writeback)", "MODE" },
		OPTION_OUTPUT,
		{ "details", 0, POPT_ARG_NONE, &details, 0,
		  "with --output=json: list every finding", NULL },
		{ "deep", 0, POPT_ARG_NONE, &deep, 0,
		  "unpack every compressed cluster as well", NULL },
		{ "max-errors", 0, POPT_ARG_STRING, &max_errors, 0,
		  "show at most N findings of one kind (default: 1000)", "N" },
		OPTION_IMAGE_OPTS,
		OPTION_FORCE_SHARE,
		OPTION_QUIET,
		OPTIONS_COMMON,
		POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *name = cmd_arg(&c, "FILE");
	struct check_report rep = { .lines_max = LINES_DEFAULT };
	struct cache_mode cache;
	struct err e = ERR_INIT;

	cmd_no_more_args(&c);
	if (repair)
		refuse_repair(&c, repair);
	if (details && !cmd_flags.json)
		cmd_usage(&c, "--details needs --output=json");
	rep.details_max = details ? DETAILS_DEFAULT : 0;
	rep.limited = max_errors;
	if (cache_from_text("source cache", cache_word, &cache, &e) < 0 ||
	    (max_errors && count_from_text("max-errors", max_errors, 0, UINT64_MAX,
					   &rep.lines_max, &e) < 0)) {
		cmd_error_of(&e);
		return cmd_finish_status(&c, STATUS_FAILED);
	}
	int status = check_file(name, &cache, deep, &rep);

	check_report_fini(&rep);
	return cmd_finish_status(&c, status);
}
