/* qcow2-check: whether an image contradicts itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/vec.h"
#include "cmd/common.h"
#include "ops/check.h"
#include "out/emit.h"

enum status {
	STATUS_CLEAN = 0,
	STATUS_FAILED = 1, /* the check did not finish */
	STATUS_CORRUPT = 2,
	STATUS_LEAKS = 3,
	STATUS_NO_CHECK = 63, /* the format has none */
};

static const struct cmd_about about = {
	.name = "check",
	.operands = "FILE",
	.purpose = "Check the metadata of a qcow2 image for errors and lost space.",
	.examples = "  qcow2-check disk.qcow2\n"
		    "  qcow2-check --output=json --details disk.qcow2\n",
};

#define LINES_DEFAULT 1000                  /* of one kind */
#define DETAILS_DEFAULT (UINT64_C(1) << 17) /* in all: about 30 MiB at most */

/* What the check found, for stderr as it comes and for JSON afterwards. */
struct report {
	uint64_t lines_max;   /* of one kind */
	uint64_t details_max; /* in all; 0: none are wanted */
	bool limited;         /* the person set lines_max: it holds for details too */
	uint64_t lines[PROBLEM_KINDS];
	struct finding *details;
	size_t detail_nr, detail_room;
	uint64_t omitted;
	bool no_memory;
};

static char *copy_text(struct report *r, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	r->no_memory |= text && !copy;
	return copy;
}

static void keep_detail(struct report *r, const struct finding *f)
{
	if (!r->details_max)
		return;
	if (r->detail_nr >= r->details_max ||
	    (r->limited && r->lines[f->kind] > r->lines_max)) {
		r->omitted++;
		return;
	}
	if (!vec_grow(&r->details, r->detail_nr, &r->detail_room)) {
		r->no_memory = true;
		return;
	}
	struct finding *kept = &r->details[r->detail_nr++];

	*kept = *f;
	kept->owner_id = copy_text(r, f->owner_id);
	kept->text = copy_text(r, f->text);
}

static void on_found(void *arg, const struct finding *f)
{
	struct report *r = arg;
	char line[FINDING_TEXT_MAX];

	if (r->lines[f->kind]++ < r->lines_max)
		cmd_complain("%s", finding_text(f, line));
	keep_detail(r, f);
}

static void report_rest(const struct report *r)
{
	for (unsigned kind = 0; kind < PROBLEM_KINDS; kind++)
		if (r->lines[kind] > r->lines_max)
			cmd_complain("... and %" PRIu64 " more of kind %s (%s)",
				     r->lines[kind] - r->lines_max,
				     problem_table[kind].kind, problem_table[kind].text);
}

static void report_fini(struct report *r)
{
	for (size_t i = 0; i < r->detail_nr; i++) {
		free((char *)r->details[i].owner_id);
		free((char *)r->details[i].text);
	}
	free(r->details);
}

static enum status status_of(const struct check_result *r)
{
	return r->check_errors  ? STATUS_FAILED
	       : r->corruptions ? STATUS_CORRUPT
	       : r->leaks       ? STATUS_LEAKS
				: STATUS_CLEAN;
}

/* --- people --- */

static void print_verdict(const struct check_result *r)
{
	if (status_of(r) == STATUS_CLEAN)
		puts("No errors were found on the image.");
	if (r->corruptions)
		printf(
		    "\n%" PRIu64 " errors were found on the image.\n"
		    "Its data may be damaged already, and writing to it may damage more.\n",
		    r->corruptions);
	if (r->leaks)
		printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
		       "They waste space in the file; no data is at risk.\n",
		       r->leaks);
	if (r->check_errors)
		printf("\n%" PRIu64 " internal errors have occurred during the check.\n",
		       r->check_errors);
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? (double)part * 100 / (double)whole : 0;
}

static void print_human(const struct check_result *r)
{
	static const char *const words[] = {
		[STATUS_CLEAN] = "clean",
		[STATUS_FAILED] = "not checked completely",
		[STATUS_CORRUPT] = "corrupt",
		[STATUS_LEAKS] = "leaks",
	};
	char size[SIZE_TEXT_MAX];

	if (cmd_flags.quiet)
		return;
	print_verdict(r);
	if (r->total_clusters && r->allocated_clusters)
		printf("%" PRIu64 "/%" PRIu64 " = %.2f%% allocated, %.2f%% fragmented, "
		       "%.2f%% compressed clusters\n",
		       r->allocated_clusters, r->total_clusters,
		       percent(r->allocated_clusters, r->total_clusters),
		       percent(r->fragmented_clusters, r->allocated_clusters),
		       percent(r->compressed_clusters, r->allocated_clusters));
	if (r->image_end_offset)
		printf("Image end offset: %" PRIu64 "\n", r->image_end_offset);
	if (!cmd_flags.verbose)
		return;
	printf("reclaimable: %s (%" PRIu64 " bytes)\n", size_render(r->reclaimable, size),
	       r->reclaimable);
	if (r->leaks && r->roots_lost)
		puts(
		    "Some structures could not be followed: what looks leaked may belong to them.");
	printf("result: %s (exit %d)\n", words[status_of(r)], status_of(r));
}

/* --- programs --- */

/* Most counters are left out when they are 0; consumers test for their presence. */
static void emit_nonzero(struct emit *out, const char *key, uint64_t value)
{
	if (value)
		emit_integer(out, key, NULL, value);
}

static void emit_owner(struct emit *out, const struct finding *f)
{
	static const char *const words[] = {
		[FINDING_IMAGE] = "image",
		[FINDING_ACTIVE] = "active",
		[FINDING_SNAPSHOT] = "snapshot",
		[FINDING_BITMAP] = "bitmap",
	};

	emit_string(out, "owner", NULL, words[f->owner]);
	if (f->owner == FINDING_SNAPSHOT && f->owner_id)
		emit_string(out, "snapshot-id", NULL, f->owner_id);
	if (f->owner == FINDING_SNAPSHOT || f->owner == FINDING_BITMAP)
		emit_integer(out, "owner-index", NULL, f->owner_idx);
}

static void emit_defect(struct emit *out, const struct finding *f)
{
	static const char *const classes[] = {
		[PROBLEM_LEAK] = "leak",
		[PROBLEM_CORRUPTION] = "corruption",
		[PROBLEM_CHECK_ERROR] = "check-error",
	};
	const struct problem *p = &problem_table[f->kind];

	emit_begin(out, NULL, NULL);
	emit_string(out, "kind", NULL, p->kind);
	emit_string(out, "class", NULL, classes[p->class]);
	if (f->has_host)
		emit_integer(out, "offset", NULL, f->host);
	if (f->has_place)
		emit_integer(out, "entry-offset", NULL, f->place);
	if (f->has_value)
		emit_integer(out, "value", NULL, f->value);
	if (f->guest_len) {
		emit_integer(out, "guest-start", NULL, f->guest);
		emit_integer(out, "guest-length", NULL, f->guest_len);
	}
	emit_owner(out, f);
	if (f->has_counts) {
		emit_integer(out, "refcount", NULL, f->refcount);
		emit_integer(out, "references", NULL, f->references);
	}
	if (f->text)
		emit_string(out, "message", NULL, f->text);
	emit_end(out);
}

static void print_json(const char *name, const struct check_result *r,
		       const struct report *rep)
{
	struct emit out = emit_over(stdout, true);

	emit_begin(&out, NULL, NULL);
	emit_string(&out, "filename", NULL, name);
	emit_string(&out, "format", NULL, "qcow2");
	emit_integer(&out, "check-errors", NULL, r->check_errors);
	emit_nonzero(&out, "image-end-offset", r->image_end_offset);
	emit_nonzero(&out, "corruptions", r->corruptions);
	emit_nonzero(&out, "leaks", r->leaks);
	emit_nonzero(&out, "total-clusters", r->total_clusters);
	emit_nonzero(&out, "allocated-clusters", r->allocated_clusters);
	emit_nonzero(&out, "fragmented-clusters", r->fragmented_clusters);
	emit_nonzero(&out, "compressed-clusters", r->compressed_clusters);
	emit_nonzero(&out, "defects-omitted", rep->omitted);
	if (rep->details_max) {
		emit_begin_list(&out, "defects", NULL);
		for (size_t i = 0; i < rep->detail_nr; i++)
			emit_defect(&out, &rep->details[i]);
		emit_end(&out);
	}
	emit_end(&out);
}

/* --- the command --- */

static int image_check_print(struct image *img, const char *name, struct report *rep)
{
	struct check_options o = { .found = on_found, .arg = rep, .watch = cmd_watch(2) };
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
	report_rest(rep);
	if (cmd_flags.json)
		print_json(name, &r, rep);
	else
		print_human(&r);
	return status_of(&r);
}

static int check_file(const char *name, const struct cache_mode *cache, struct report *rep)
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
		status = image_check_print(img, name, rep);
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
	int details = 0;
	struct poptOption options[] = {
		OPTION_FORMAT,
		{ "repair", 'r', POPT_ARG_STRING, &repair, 0,
		  "repair what can be repaired (not in this version)", "leaks|all" },
		{ "cache", 'T', POPT_ARG_STRING, &cache_word, 0,
		  "cache mode for reading (default: writeback)", "MODE" },
		OPTION_OUTPUT,
		{ "details", 0, POPT_ARG_NONE, &details, 0,
		  "with --output=json: list every finding", NULL },
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
	struct report rep = { .lines_max = LINES_DEFAULT };
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
	int status = check_file(name, &cache, &rep);

	report_fini(&rep);
	return cmd_finish_status(&c, status);
}
