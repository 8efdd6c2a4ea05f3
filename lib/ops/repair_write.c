/* How a repair writes: through one place, which begins with what comes before any first write; and what
 * it tells the user. */
#include "ops/repair_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/align.h"
#include "meta/header_store.h"

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

int repair_tables_note(struct repair *r, struct err *e)
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
	if (repair_tables_note(r, e) < 0)
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

int repair_header_load(struct repair *r, struct err *e)
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
	return ret == 0 ? repair_header_load(r, e) : -1;
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
