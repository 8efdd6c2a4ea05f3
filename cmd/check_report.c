/* What `check` says: lines for people, JSON for programs. */
#include "cmd/check_report.h"
#include "cmd/check_impact.h"
#include "cmd/check_orphans.h"
#include "cmd/check_undo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/vec.h"
#include "cmd/common.h"
#include "out/emit.h"

enum check_status check_status_of(const struct check_result *r)
{
	return r->check_errors  ? STATUS_FAILED
	       : r->corruptions ? STATUS_CORRUPT
	       : r->leaks       ? STATUS_LEAKS
				: STATUS_CLEAN;
}

static void findings_free(struct finding *list, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		free((char *)list[i].owner_id);
		free((char *)list[i].text);
	}
}

static char *copy_text(struct check_report *r, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	r->no_memory |= text && !copy;
	return copy;
}

/* Whether one more fits into the lists. */
static bool has_room(struct check_report *r, const struct finding *f)
{
	if (!r->details_max)
		return false;
	if (r->detail_nr + r->repair_nr < r->details_max &&
	    !(r->limited && r->lines[f->kind] > r->lines_max))
		return true;
	r->omitted++;
	return false;
}

static void keep(struct check_report *r, struct finding *kept, const struct finding *f)
{
	*kept = *f;
	kept->owner_id = copy_text(r, f->owner_id);
	kept->text = copy_text(r, f->text);
}

static void keep_detail(struct check_report *r, const struct finding *f)
{
	if (!has_room(r, f))
		return;
	if (vec_grow(&r->details, r->detail_nr, &r->detail_room))
		keep(r, &r->details[r->detail_nr++], f);
	else
		r->no_memory = true;
}

void check_report_found(void *arg, const struct finding *f)
{
	struct check_report *r = arg;
	char line[FINDING_TEXT_MAX];

	if (r->lines[f->kind]++ < r->lines_max)
		cmd_complain("%s", finding_text(f, line));
	keep_detail(r, f);
}

static void lines_anew(struct check_report *r)
{
	check_report_rest(r);
	memset(r->lines, 0, sizeof r->lines);
}

void check_report_fixed(void *arg, const struct finding *f, const char *how)
{
	struct check_report *r = arg;
	char line[FINDING_TEXT_MAX];

	if (!how)
		how = problem_table[f->kind].step;
	if (!r->repairing)
		lines_anew(r);
	r->repairing = true;
	if (r->lines[f->kind]++ < r->lines_max)
		cmd_complain("%s", finding_text_repairing(f, how, line));
	if (!has_room(r, f))
		return;
	if (vec_grow(&r->repairs, r->repair_nr, &r->repair_room) &&
	    vec_grow(&r->repair_how, r->repair_nr, &r->how_room)) {
		r->repair_how[r->repair_nr] = how;
		keep(r, &r->repairs[r->repair_nr++], f);
	} else {
		r->no_memory = true;
	}
}

void check_report_again(void *arg)
{
	struct check_report *r = arg;

	lines_anew(r);
	findings_free(r->details, r->detail_nr);
	r->detail_nr = 0;
}

void check_report_rest(const struct check_report *r)
{
	for (unsigned kind = 0; kind < PROBLEM_KINDS; kind++)
		if (r->lines[kind] > r->lines_max)
			cmd_complain("... and %" PRIu64 " more of kind %s (%s)",
				     r->lines[kind] - r->lines_max,
				     problem_table[kind].kind, problem_table[kind].text);
}

void check_report_fini(struct check_report *r)
{
	findings_free(r->details, r->detail_nr);
	findings_free(r->repairs, r->repair_nr);
	free(r->details);
	free(r->repairs);
	free(r->repair_how);
	impact_fini(&r->impact);
	orphans_fini(&r->orphans);
}

/* --- people --- */

static void print_verdict(const struct check_result *r, bool suspects)
{
	if (check_status_of(r) == STATUS_CLEAN)
		puts("No errors were found on the image.");
	if (r->corruptions)
		printf(
		    "\n%" PRIu64 " errors were found on the image.\n"
		    "Its data may be damaged already, and writing to it may damage more.\n",
		    r->corruptions);
	if (r->leaks)
		printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
		       "They waste space in the file; %s.\n",
		       r->leaks, suspects ? "some may be lost data" : "no data is at risk");
	if (r->check_errors)
		printf("\n%" PRIu64 " internal errors have occurred during the check.\n",
		       r->check_errors);
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? (double)part * 100 / (double)whole : 0;
}

static void print_repaired(const struct check_report *rep)
{
	if (!rep->corruptions_fixed && !rep->leaks_fixed)
		return;
	printf("The following inconsistencies %s repaired:\n\n"
	       "    %" PRIu64 " leaked clusters\n"
	       "    %" PRIu64 " corruptions\n\n"
	       "%s\n",
	       rep->plan ? "would be" : "were found and", rep->leaks_fixed, rep->corruptions_fixed,
	       rep->plan ? "Checking the image as it would be..."
			 : "Double checking the fixed image now...");
}

void check_report_human(const struct check_result *r, const struct check_report *rep)
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
	print_repaired(rep);
	print_verdict(r, rep->orphans.suspects);
	check_orphans_human(&rep->orphans);
	check_impact_human(&rep->impact, rep->corruptions_fixed || rep->leaks_fixed);
	if (r->total_clusters && r->allocated_clusters)
		printf("%" PRIu64 "/%" PRIu64 " = %.2f%% allocated, %.2f%% fragmented, "
		       "%.2f%% compressed clusters\n",
		       r->allocated_clusters, r->total_clusters,
		       percent(r->allocated_clusters, r->total_clusters),
		       percent(r->fragmented_clusters, r->allocated_clusters),
		       percent(r->compressed_clusters, r->allocated_clusters));
	if (r->image_end_offset)
		printf("Image end offset: %" PRIu64 "\n", r->image_end_offset);
	if (rep->plan)
		check_plan_human(rep->plan);
	if (!cmd_flags.verbose)
		return;
	if (r->unpacked_clusters)
		printf("compressed clusters unpacked: %" PRIu64 "\n", r->unpacked_clusters);
	printf("reclaimable: %s (%" PRIu64 " bytes)\n", size_render(r->reclaimable, size),
	       r->reclaimable);
	if (r->leaks && r->pointers_lost)
		puts(
		    "Some structures could not be followed: what looks leaked may belong to them.");
	printf("result: %s (exit %d)\n", words[check_status_of(r)], check_status_of(r));
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

static void emit_defect(struct emit *out, const struct finding *f, const char *how)
{
	static const char *const classes[] = {
		[PROBLEM_LEAK] = "leak",
		[PROBLEM_CORRUPTION] = "corruption",
		[PROBLEM_CHECK_ERROR] = "check-error",
		[PROBLEM_NOTE] = "note",
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
	if (how)
		emit_string(out, "step", NULL, how);
	emit_end(out);
}

void check_report_json(const char *name, const struct check_result *r,
		       const struct check_report *rep)
{
	struct emit out = emit_over(stdout, true);

	emit_begin(&out, NULL, NULL);
	emit_string(&out, "filename", NULL, name);
	emit_string(&out, "format", NULL, "qcow2");
	emit_integer(&out, "check-errors", NULL, r->check_errors);
	emit_nonzero(&out, "image-end-offset", r->image_end_offset);
	emit_nonzero(&out, "corruptions", r->corruptions);
	emit_nonzero(&out, "leaks", r->leaks);
	emit_nonzero(&out, "unpacked-clusters", r->unpacked_clusters);
	emit_nonzero(&out, "corruptions-fixed", rep->corruptions_fixed);
	emit_nonzero(&out, "leaks-fixed", rep->leaks_fixed);
	emit_nonzero(&out, "total-clusters", r->total_clusters);
	emit_nonzero(&out, "allocated-clusters", r->allocated_clusters);
	emit_nonzero(&out, "fragmented-clusters", r->fragmented_clusters);
	emit_nonzero(&out, "compressed-clusters", r->compressed_clusters);
	emit_nonzero(&out, "defects-omitted", rep->omitted);
	if (rep->details_max) {
		emit_nonzero(&out, "notes", r->notes);
		emit_begin_list(&out, "defects", NULL);
		for (size_t i = 0; i < rep->detail_nr; i++)
			emit_defect(&out, &rep->details[i], NULL);
		emit_end(&out);
		check_impact_json(&out, &rep->impact);
		check_orphans_json(&out, &rep->orphans);
	}
	if (rep->plan)
		check_plan_json(&out, rep->plan);
	if (rep->repair_nr) {
		emit_begin_list(&out, "repairs", NULL);
		for (size_t i = 0; i < rep->repair_nr; i++)
			emit_defect(&out, &rep->repairs[i], rep->repair_how[i]);
		emit_end(&out);
	}
	emit_end(&out);
}
