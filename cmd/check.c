/* qcow2-check: whether an image contradicts itself. */
#include <string.h>

#include "cmd/check_header.h"
#include "cmd/check_report.h"
#include "cmd/check_undo.h"
#include "cmd/check_wishes.h"
#include "cmd/common.h"
#include "ops/repair.h"

static const struct cmd_about about = {
	.name = "check",
	.operands = "FILE",
	.purpose = "Check the metadata of a qcow2 image for errors and lost space, and repair it.",
	.examples = "  qcow2-check disk.qcow2\n"
		    "  qcow2-check -r all disk.qcow2\n"
		    "  qcow2-check --output=json --details disk.qcow2\n",
	.answers = 1u << STATUS_CORRUPT | 1u << STATUS_LEAKS,
};

#define LINES_DEFAULT 1000                  /* of one kind */
#define DETAILS_DEFAULT (UINT64_C(1) << 17) /* in all: about 30 MiB at most */

#define REPAIR_NEVER_SHARES \
	"--repair writes to the image: it can't go with -U (force-share=on)"

struct request {
	const char *repair; /* the word of --repair, or NULL */
	const struct check_wishes *wishes;
	const struct check_undo *undo;
};

static int report_print(const char *name, const struct check_result *r, const struct spec *s,
			struct check_report *rep)
{
	struct err e = ERR_INIT;

	if (rep->no_memory) {
		err_nomem(&e);
		cmd_error_of(&e);
		return STATUS_FAILED;
	}
	check_report_rest(rep);
	impact_find_partitions(&rep->impact, s);
	if (cmd_flags.json)
		check_report_json(name, r, rep);
	else
		check_report_human(r, rep);
	return check_status_of(r);
}

static int image_check_print(struct image *img, const char *name, const struct spec *s,
			     const struct request *q, struct check_report *rep)
{
	struct check_options o = { .found = check_report_found,
				   .arg = rep,
				   .watch = cmd_watch(2),
				   .deep = q->wishes->deep,
				   .impact = &rep->impact,
				   .orphans = &rep->orphans };
	struct check_result r;
	struct err e = ERR_INIT;
	int ret = check_image(img, &o, &r, &e);

	signals_watch_end(ret == 0);
	if (ret < 0) {
		cmd_error_of(&e);
		return STATUS_FAILED;
	}
	return report_print(name, &r, s, rep);
}

static void on_say(void *arg, const char *text)
{
	(void)arg;
	cmd_complain("%s", text);
}

static int image_repair_print(struct image *img, const char *name, const struct spec *s,
			      const struct request *q, struct check_report *rep)
{
	struct repair_options o = { .all = strcmp(q->repair, "all") == 0,
				    .found = check_report_found,
				    .again = check_report_again,
				    .fixed = check_report_fixed,
				    .say = on_say,
				    .arg = rep,
				    .watch = cmd_watch(2),
				    .deep = q->wishes->deep,
				    .free_suspects = q->wishes->free_suspects,
				    .drop_snapshots = q->wishes->drop_snapshots,
				    .reattach = q->wishes->reattach,
				    .attach = q->wishes->attach,
				    .attach_nr = q->wishes->attach_nr,
				    .impact = &rep->impact,
				    .orphans = &rep->orphans };
	struct repair_plan plan = { 0 };
	struct repair_result r;
	struct err e = ERR_INIT;
	int status = STATUS_FAILED, ret = repair_image(img, &o, &r, &e);

	signals_watch_end(ret == 0);
	if (ret == 0 && q->undo->plan)
		ret = repair_plan_of(img, &plan, &e);
	if (ret < 0) {
		cmd_error_of(&e);
	} else {
		rep->plan = q->undo->plan ? &plan : NULL;
		rep->corruptions_fixed = r.corruptions_fixed;
		rep->leaks_fixed = r.leaks_fixed;
		status = report_print(name, &r.check, s, rep);
		rep->plan = NULL;
	}
	repair_plan_fini(&plan);
	return status;
}

/* What repair and check open alike, for writing or not. */
static int file_open_for(const struct spec *s, const struct request *q,
			 const struct cache_mode *cache, struct image **img, struct err *e)
{
	if (!q->repair)
		return check_open(s, &cmd_listener, img, e);
	const struct repair_file how = { .write_flags = check_write_flags(s, cache),
					 .plan = q->undo->plan,
					 .undo = q->undo->undo };

	if (s->force_share)
		return err_set(e, ERR_INVALID, REPAIR_NEVER_SHARES);
	if (s->read_only && !how.plan)
		return err_set(e, ERR_INVALID, "--repair writes to the image: it can't go with "
					       "read-only=on");
	return repair_open(s, &how, &cmd_listener, img, e);
}

/* A header that makes no sense is a thing that can be mended. Scripts look for the words about the
 * format at the end of the line. */
static void open_error(const struct err *e)
{
	if (e->code == ERR_CORRUPT && !*e->hint && !strstr(e->text, "not in qcow2 format"))
		cmd_error("%s; --rebuild-header looks for one that fits", e->text);
	else
		cmd_error_of(e);
}

static int check_file(const char *name, const struct cache_mode *cache, const struct request *q,
		      struct check_report *rep)
{
	struct err e = ERR_INIT;
	struct spec s = { 0 };
	struct image *img = NULL;
	int status = STATUS_FAILED, ret = operand_spec(&s, name, cmd_flags.format, &e);

	if (ret == 0) {
		s.direct = s.direct || cache->direct;
		ret = file_open_for(&s, q, cache, &img, &e);
	}
	if (ret < 0) {
		open_error(&e);
	} else if (!img) {
		cmd_error("'%s': raw images have no metadata that could be checked%s", name,
			  cmd_flags.format ? "" : "; if it was a qcow2 image, see --rebuild-header");
		status = STATUS_NO_CHECK;
	} else {
		status = q->repair ? image_repair_print(img, name, &s, q, rep)
				   : image_check_print(img, name, &s, q, rep);
	}
	image_close(img);
	spec_fini(&s);
	return status;
}

static void repair_word_check(const struct cmd *c, const char *word)
{
	if (!word)
		return;
	if (strcmp(word, "leaks") != 0 && strcmp(word, "all") != 0)
		cmd_usage(c, "--repair must be leaks or all, not '%s'", word);
	if (cmd_flags.force_share)
		cmd_usage(c, REPAIR_NEVER_SHARES);
}

int main(int argc, const char **argv)
{
	const char *cache_word = NULL, *repair = NULL, *max_errors = NULL;
	struct check_wishes wishes = { 0 };
	struct check_undo undo = { 0 };
	struct check_header header = { 0 };
	int details = 0;
	struct poptOption options[] = {
		OPTION_FORMAT,
		{ "repair", 'r', POPT_ARG_STRING, &repair, 0,
		  "free leaked clusters, or repair all that can be repaired", "leaks|all" },
		{ "cache", 'T', POPT_ARG_STRING, &cache_word, 0,
		  "cache mode (default: writeback)", "MODE" },
		OPTION_OUTPUT,
		{ "details", 0, POPT_ARG_NONE, &details, 0,
		  "with --output=json: list every finding", NULL },
		CHECK_WISHES(wishes),
		CHECK_UNDO(undo),
		CHECK_HEADER(header),
		{ "max-errors", 0, POPT_ARG_STRING, &max_errors, 0,
		  "show at most N findings of one kind (default: 1000)", "N" },
		OPTION_IMAGE_OPTS,
		OPTION_FORCE_SHARE,
		OPTION_QUIET,
		OPTIONS_COMMON,
		POPT_TABLEEND
	};
	check_wishes_spell(&wishes, argc, argv);
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *name = cmd_arg(&c, "FILE");
	struct check_report rep = { .lines_max = LINES_DEFAULT };
	struct cache_mode cache;
	struct err e = ERR_INIT;

	cmd_no_more_args(&c);
	repair_word_check(&c, repair);
	bool looks = check_wishes_any(&wishes) || details || max_errors;

	check_undo_take(&c, &undo, repair, header.wanted, looks);
	header.undo = undo.undo;
	check_header_take(&c, &header, repair || undo.apply || undo.plan || looks);
	if (undo.apply)
		return cmd_finish_status(&c, check_undo_apply(name, undo.apply, cache_word));
	if (details && !cmd_flags.json)
		cmd_usage(&c, "--details needs --output=json");
	rep.details_max = details ? DETAILS_DEFAULT : 0;
	rep.limited = max_errors;
	if (check_wishes_take(&c, &wishes, repair, &e) < 0 ||
	    cache_from_text("source cache", cache_word, &cache, &e) < 0 ||
	    (max_errors && count_from_text("max-errors", max_errors, 0, UINT64_MAX,
					   &rep.lines_max, &e) < 0)) {
		cmd_error_of(&e);
		check_wishes_fini(&wishes);
		return cmd_finish_status(&c, STATUS_FAILED);
	}
	const struct request q = { .repair = repair, .wishes = &wishes, .undo = &undo };
	int status = header.wanted ? check_header_rebuild(name, &cache, &header)
				   : check_file(name, &cache, &q, &rep);

	check_report_fini(&rep);
	check_wishes_fini(&wishes);
	return cmd_finish_status(&c, status);
}
