/* A repair as a whole: passes of the check and stages in turn, until there is nothing left to do. */
#include "ops/repair_internal.h"

#include <stdlib.h>
#include <string.h>

#include "io/file_plan.h"

/* More rounds than stages: a repair that does not come to rest is stopped, and what is left is
 * said. */
#define ROUNDS_MAX 16

static void on_found(void *arg, const struct finding *f)
{
	struct repair *r = arg;

	repair_outside_note(r, f);
	repair_snapshot_note(r, f);
	if (f->kind == PROBLEM_CROSS_LINK && f->owner == FINDING_ACTIVE)
		r->disk_lies_on |= 1u << check_claimed_by(&r->check, check_cluster(&r->check, f->host));
	if (r->report && r->options->found)
		r->options->found(r->options->arg, f);
}

static int pass(struct repair *r, bool report, struct err *e)
{
	bool first = !r->passes++;

	check_end(&r->check);
	orphans_fini(&r->orphans);
	r->outside = UINT64_MAX;
	r->snapshots_cut = r->outside_stays = false;
	r->outside_else = UINT64_MAX;
	memcpy(r->l1_broken, r->l1_emptied, sizeof r->l1_broken);
	r->l1_broken_any = r->l1_emptied_any;
	r->refcounts_forgotten = false;
	r->disk_lies_on = 0;
	r->next = r->next_inside = 0;
	r->report = report;
	r->check_options = (struct check_options){ .found = on_found,
						   .arg = r,
						   .orphans = &r->orphans,
						   .repairing = !first,
						   .pointers_lost = r->found.pointers_lost,
						   .replaced = r->replaced,
						   .replaced_nr = r->replaced_nr,
						   .deep = report && r->options->deep,
						   .impact = first ? r->options->impact : NULL,
						   .watch = r->options->watch };
	r->check = (struct check){
		.geom = &r->geom,
		.header = &r->header,
		.file = r->file,
		.data_file = r->data_file,
		.options = &r->check_options,
		.result = &r->found,
	};
	return check_run(&r->check, e);
}

typedef int stage_run(struct repair *r, struct err *e);

/* A stage that wrote something ends the round, but bitmaps don't get into anybody's way. Entries
 * that lead out of the file go before anything makes it longer. */
static const struct {
	stage_run *run;
	bool all, goes_on;
	bool forgets; /* what it mends may be what tells that leaks are lost data */
} stages[] = {
	{ repair_orphans, true, false, false },	 { repair_roots, true, false, true },
	{ repair_entries, true, false, true },	 { repair_snapshots, true, false, true },
	{ repair_bitmaps, true, true, true },	 { repair_extensions, true, true, false },
	{ repair_doubles, true, false, true },	 { repair_counts, true, false, true },
	{ repair_leaks, false, false, false },	 { repair_copied, false, false, false },
};

/* One stage; *more: something was repaired, and it is worth looking again. */
static int round_run(struct repair *r, bool *more, struct err *e)
{
	uint64_t before = r->writes;

	*more = false;
	for (size_t i = 0; i < sizeof stages / sizeof *stages && !*more; i++) {
		if (stages[i].all && !r->options->all)
			continue;
		r->forgets = stages[i].forgets;
		if (stages[i].run(r, e) < 0 || repair_flush(r, e) < 0)
			return -1;
		*more = r->writes != before && !stages[i].goes_on;
	}
	*more |= r->writes != before;
	r->forgets = false;
	return 0;
}

/* The disk is lost when the header, or an L2 table of a snapshot, is taken for its L1 table: what that
 * would lead to is not to be touched, for it may be the disk. */
static bool disk_is_lost(struct repair *r)
{
	bool header = r->header.l1_size && r->header.l1_table_off < geom_cluster_size(&r->geom);

	if (!header && !walk_disk_is_disowned(r->check.walk))
		return false;
	if (!r->told_header)
		repair_say(r, "nothing is repaired: the L1 table lies on %s, and is none; "
			      "--rebuild-header may find the right one",
			   header ? "the header" : "an L2 table of a snapshot");
	r->told_header = true;
	return true;
}

/* What can't be read now may be there the next time, and lead to what looks leaked, or free. */
static bool is_unread(struct repair *r)
{
	if (r->found.unread)
		repair_say(r, "nothing %sis repaired, for metadata can't be read: try again, or copy the "
			      "image to a sound medium first",
			   r->result->changed ? "more " : "");
	return r->found.unread;
}

static int repair_run(struct repair *r, const struct geom *g, struct err *e);

/* Where something leads out of the file that may have to stay, there may be no room for what a later
 * stage needs. Then nothing is written at all: the repair is carried out in memory first, as far as
 * that goes. */
static int rehearse(struct repair *r, struct err *e)
{
	struct repair_options o = *r->options;
	struct repair_result result = { 0 };
	struct repair try = { .options = &o, .result = &result };
	struct err why = ERR_INIT;
	int ret;

	if (!r->outside_stays || file_is_plan(r->file))
		return 0;
	o.found = NULL;
	o.fixed = NULL;
	o.again = NULL;
	o.say = NULL;
	o.impact = NULL;
	o.deep = false;
	try.file = file_plan_over(r->file, &why);
	ret = try.file ? repair_run(&try, &r->geom, &why) : -1;
	orphans_fini(&try.orphans);
	file_drop(try.file);
	if (ret == 0 || why.code == ERR_UNSUPPORTED || why.code == ERR_NOMEM)
		return 0;
	return err_set(e, why.code, "%s", why.text);
}

static int rounds(struct repair *r, struct err *e)
{
	bool more = true, doubt = false;
	unsigned round = 0;

	while (more && round < ROUNDS_MAX) {
		if (pass(r, round == 0, e) < 0)
			return -1;
		if (round == 0)
			r->counts_sound = !repair_refcounts_lost(r) &&
					  !repair_has(r, PROBLEM_REFCOUNT_ZERO);
		if (round == 0 && !r->found.unread && repair_header_doubt(r, &doubt, e) < 0)
			return -1;
		if (doubt || disk_is_lost(r) || is_unread(r))
			more = false;
		else if (round == 0 && rehearse(r, e) < 0)
			return -1;
		else if (round_run(r, &more, e) < 0)
			return -1;
		round++;
	}
	if (more && pass(r, false, e) < 0)
		return -1;
	/* Some leaks are there only since what led to them was given up. */
	return r->forgot ? repair_mark_suspects(r, e) : 0;
}

/* What was changed is looked at as closely as before, and what is left is told: the last passes were
 * silent. */
static int rest_tell(struct repair *r, struct err *e)
{
	if (r->options->again)
		r->options->again(r->options->arg);
	return r->options->deep || r->found.corruptions || r->found.leaks || r->found.check_errors
		       ? pass(r, true, e)
		       : 0;
}

static int work(struct repair *r, struct err *e)
{
	if (rounds(r, e) < 0 || (r->result->changed && rest_tell(r, e) < 0) ||
	    repair_bits(r, e) < 0 || repair_flush(r, e) < 0)
		return -1;
	return r->result->changed ? repair_tables_note(r, e) : 0;
}

static int repair_load(struct repair *r, const struct geom *g, struct err *e)
{
	size_t size = geom_cluster_size(g);

	r->clusters = geom_clusters(g, file_size(r->file));
	r->geom = *g;
	r->header_bytes = malloc(size);
	if (!r->header_bytes)
		return err_nomem(e);
	if (file_read_padded(r->file, 0, r->header_bytes, size, NULL, e) < 0)
		return -1;
	return repair_header_load(r, e);
}

/* What is left to be freed is r->orphans. */
static int repair_run(struct repair *r, const struct geom *g, struct err *e)
{
	int ret = repair_load(r, g, e) == 0 && work(r, e) == 0 ? 0 : -1;

	r->result->check = r->found;
	check_end(&r->check);
	repair_noted_fini(&r->noted);
	free(r->header_bytes);
	free(r->marked);
	free(r->abandoned);
	free(r->replaced);
	return ret;
}

int repair_image(struct image *img, const struct repair_options *o, struct repair_result *result,
		 struct err *e)
{
	struct repair r = { .file = image_file(img),
			    .data_file = image_data_file(img),
			    .options = o,
			    .result = result };
	int ret;

	*result = (struct repair_result){ 0 };
	ret = repair_run(&r, image_geom(img), e);
	if (ret == 0 && o->orphans)
		*o->orphans = r.orphans;
	else
		orphans_fini(&r.orphans);
	return ret;
}
