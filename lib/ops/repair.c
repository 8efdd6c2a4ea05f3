#include "ops/repair_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "io/file_plan.h"
#include "meta/header_store.h"

/* More rounds than stages: a repair that does not come to rest is stopped, and what is left is
 * said. */
#define ROUNDS_MAX 16

/* --- what the stages use --- */

int repair_flush(struct repair *r, struct err *e)
{
	if (r->unflushed && file_flush(r->file, e) < 0)
		return -1;
	r->unflushed = false;
	return 0;
}

/* Whether metadata at this place may be data of the disk as well: the disk changes with it. */
static bool lies_under_disk(const struct repair *r, uint64_t off, size_t n)
{
	const struct check *c = &r->check;
	uint64_t end = MIN(check_cluster(c, off + n - 1) + 1, c->clusters);

	for (uint64_t i = check_cluster(c, off); r->disk_lies_on && i < end; i++)
		if (check_is_crossed(c, i))
			return true;
	return false;
}

static int bytes_write(struct repair *r, uint64_t off, const void *bytes, size_t n,
		       struct err *e)
{
	if (lies_under_disk(r, off, n) && repair_disk_changes(r, e) < 0)
		return -1;
	r->unflushed = true;
	r->writes++;
	r->result->changed = true;
	return file_write_at(r->file, off, bytes, n, e);
}

static int header_write(struct repair *r, unsigned fields, struct err *e)
{
	header_patch(r->header_bytes, &r->header, fields);
	if (bytes_write(r, 0, r->header_bytes, SECTOR_SIZE, e) < 0)
		return -1;
	return repair_flush(r, e);
}

/* Tells the undo file what the tables are that the header in the file leads to. */
static int tables_note(struct repair *r, struct err *e)
{
	struct header h;

	if (header_decode(r->header_bytes, geom_cluster_size(&r->geom), &h, e) < 0)
		return -1;
	return repair_note(r->file, &h, &r->noted, e);
}

/* What a writer does first: autoclear bits that it does not know go (2.5). */
int repair_begin_write(struct repair *r, struct err *e)
{
	/* What was decided since then may be wrong. A mark on too many clusters does no harm. */
	if (r->found.unread && !r->marking)
		return err_set(e, ERR_IO, "nothing more is changed, for metadata can't be read");
	/* The header may be about to change. */
	if (lies_under_disk(r, 0, 1) && repair_disk_changes(r, e) < 0)
		return -1;
	if (r->forgets && !r->marking) {
		r->forgot = true;
		if (repair_mark_suspects(r, e) < 0)
			return -1;
	}
	r->writes++;
	r->result->changed = true;
	if (r->began)
		return 0;
	r->began = true;
	if (tables_note(r, e) < 0)
		return -1;
	if (!(r->header.autoclear_features & ~AUTOCLEAR_KNOWN))
		return 0;
	r->header.autoclear_features &= AUTOCLEAR_KNOWN;
	return header_write(r, HEADER_FEATURES, e);
}

bool repair_may_edit(const struct repair *r, uint64_t host, enum walk_what what)
{
	struct check *c = (struct check *)&r->check; /* sorts its list when first asked */
	uint64_t cluster = check_cluster(c, host);

	/* The first one that came for it has it; L1 tables come late, and L2 tables last. */
	return cluster < c->clusters && bit_at(c->metadata, cluster) &&
	       !check_is_crossed(c, cluster) && check_claimed_by(c, cluster) == what;
}

int repair_write(struct repair *r, uint64_t off, const void *bytes, size_t n, struct err *e)
{
	/* The header is changed by those who know that it is one. */
	if (off < geom_cluster_size(&r->geom))
		return err_set(e, ERR_CORRUPT, "a table lies on the header");
	if (repair_begin_write(r, e) < 0)
		return -1;
	return bytes_write(r, off, bytes, n, e);
}

int repair_header(struct repair *r, unsigned fields, struct err *e)
{
	if (repair_begin_write(r, e) < 0 || repair_flush(r, e) < 0)
		return -1;
	return header_write(r, fields, e);
}

static int header_load(struct repair *r, struct err *e)
{
	if (header_decode(r->header_bytes, geom_cluster_size(&r->geom), &r->header, e) < 0)
		return -1;
	r->geom = header_geom(&r->header);
	return 0;
}

int repair_header_replace(struct repair *r, const struct header *h, struct err *e)
{
	uint64_t size = geom_cluster_size(&r->geom);
	uint8_t *wanted = malloc(size);
	struct header known = *h;
	int ret = -1;

	if (!wanted)
		return err_nomem(e);
	known.autoclear_features &= AUTOCLEAR_KNOWN;
	if (header_encode(wanted, &known, e) == 0 && repair_begin_write(r, e) == 0 &&
	    repair_flush(r, e) == 0)
		ret = header_store(r->file, r->header_bytes, wanted, size, e);
	free(wanted);
	return ret == 0 ? header_load(r, e) : -1;
}

void repair_fixed_many(struct repair *r, enum problem_kind kind, uint64_t nr)
{
	r->result->fixed[kind] += nr;
	if (problem_table[kind].class == PROBLEM_LEAK)
		r->result->leaks_fixed += nr;
	else
		r->result->corruptions_fixed += nr;
}

void repair_fixed(struct repair *r, const struct finding *f, const char *how)
{
	repair_fixed_many(r, f->kind, 1);
	if (r->options->fixed)
		r->options->fixed(r->options->arg, f, how);
}

void repair_say(struct repair *r, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (r->options->say)
		r->options->say(r->options->arg, text);
}

struct walk *repair_walk(struct repair *r, const struct walk_ops *ops, void *arg, struct err *e)
{
	struct walk *w = check_walk_again(&r->check, ops, arg, e);

	if (w && walk_trees(w, e) == 0)
		return w;
	walk_free(w);
	return NULL;
}

void repair_table_put(struct repair_table *t, size_t at, uint64_t value)
{
	if (be64_get(t->bytes + at) == value)
		return;
	be64_put(t->bytes + at, value);
	if (t->from >= t->to) {
		t->from = at;
		t->to = at + 8;
	}
	t->from = MIN(t->from, at);
	t->to = MAX(t->to, at + 8);
}

int repair_words_store(struct repair *r, struct repair_table *t, struct err *e)
{
	size_t from = t->from, to = t->to;

	t->from = t->to = 0;
	return from < to ? repair_write(r, t->host + from, t->bytes + from, to - from, e) : 0;
}

int repair_table_store(struct repair *r, struct repair_table *t, struct err *e)
{
	if (t->from >= t->to)
		return 0;
	size_t from = align_down(t->from, SECTOR_SIZE), to = align_up(t->to, SECTOR_SIZE);

	t->from = t->to = 0;
	return repair_write(r, t->host + from, t->bytes + from, to - from, e);
}

/* --- rounds --- */

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
	 { repair_bitmaps, true, true, true },
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

/* The disk is lost when the header is taken for its L1 table: what that would lead to is not to be
 * touched, for it may be the disk. */
static bool disk_is_lost(struct repair *r)
{
	if (!r->header.l1_size || r->header.l1_table_off >= geom_cluster_size(&r->geom))
		return false;
	if (!r->told_header)
		repair_say(r, "nothing is repaired: the L1 table lies on the header, and is none; "
			      "--rebuild-header may find the right one");
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
	bool more = true;
	unsigned round = 0;

	while (more && round < ROUNDS_MAX) {
		if (pass(r, round == 0, e) < 0)
			return -1;
		if (round == 0)
			r->counts_sound = !repair_refcounts_lost(r) &&
					  !repair_has(r, PROBLEM_REFCOUNT_ZERO);
		if (disk_is_lost(r) || is_unread(r))
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
	return r->result->changed ? tables_note(r, e) : 0;
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
	return header_load(r, e);
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
	struct repair r = { .file = image_file(img), .options = o, .result = result };
	int ret;

	*result = (struct repair_result){ 0 };
	ret = repair_run(&r, image_geom(img), e);
	if (ret == 0 && o->orphans)
		*o->orphans = r.orphans;
	else
		orphans_fini(&r.orphans);
	return ret;
}
