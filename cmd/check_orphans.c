/* Lost L2 tables, and leaked clusters that may be lost data. */
#include "cmd/check_orphans.h"

#include <inttypes.h>
#include <stdio.h>

#include "cmd/common.h"

#define LINES_DEFAULT 8 /* unless -v is given */

static void print_orphan(const struct orphan *o)
{
	printf("  0x%" PRIx64 ": maps %" PRIu32 " clusters, ", o->host, o->used);
	if (o->reason == ORPHAN_NO_PLACE)
		puts(orphan_reason_text[o->reason]);
	else
		printf("for L1 entry %" PRIu32 " (guest 0x%" PRIx64 "+0x%" PRIx64
		       "), confidence %u%%: %s\n",
		       o->l1_idx, o->guest, o->guest_len, o->confidence,
		       orphan_reason_text[o->reason]);
}

static void print_tables(const struct orphans *o, size_t max)
{
	size_t sure = 0;

	puts("\nL2 tables that nothing leads to:");
	for (size_t i = 0; i < o->nr; i++) {
		sure += o->list[i].confidence >= ORPHAN_CONFIDENCE;
		if (i < max)
			print_orphan(&o->list[i]);
	}
	if (o->nr > max)
		printf("  and %zu more\n", o->nr - max);
	printf("%zu of them can be put back with -r all --reattach (confidence %u%% or more).\n",
	       sure, ORPHAN_CONFIDENCE);
	if (sure < o->nr)
		puts("Others can be put back by hand with -r all --attach INDEX=OFFSET, if you know "
		     "better.");
}

static void print_zeroed(const struct orphans *o, size_t max)
{
	for (size_t i = 0; i < o->zeroed_nr && i < max; i++)
		if (o->zeroed[i].clusters)
			printf("The L2 table of L1 entry %" PRIu32 " at 0x%" PRIx64
			       " has no entries; %" PRIu64 " leaked clusters may be its: "
			       "-r all --reattach=guess maps them in the order of the file.\n",
			       o->zeroed[i].l1_idx, o->zeroed[i].host, o->zeroed[i].clusters);
}

void check_orphans_human(const struct orphans *o)
{
	size_t max = cmd_flags.verbose ? SIZE_MAX : LINES_DEFAULT;

	if (o->nr)
		print_tables(o, max);
	print_zeroed(o, max);
	if (o->suspects)
		printf("%" PRIu64 " leaked clusters may be lost data%s: a repair leaves them, unless "
		       "--free-suspects is given.\n",
		       o->suspects, o->pointers_lost ? " of what could not be read" : "");
	if (o->uncounted)
		printf("%" PRIu64 " clusters that nothing refers to may be lost data, and their counts are "
		       "lost: a repair counts them, unless --free-suspects is given.\n",
		       o->uncounted);
	if (o->nr || o->suspects || o->uncounted)
		putchar('\n');
}

static void emit_orphan(struct emit *out, const struct orphan *o)
{
	emit_begin(out, NULL, NULL);
	emit_integer(out, "offset", NULL, o->host);
	emit_integer(out, "clusters", NULL, o->used);
	emit_integer(out, "confidence", NULL, o->confidence);
	emit_string(out, "reason", NULL, orphan_reason_text[o->reason]);
	if (o->reason != ORPHAN_NO_PLACE) {
		emit_integer(out, "l1-index", NULL, o->l1_idx);
		emit_integer(out, "guest-start", NULL, o->guest);
		emit_integer(out, "guest-length", NULL, o->guest_len);
	}
	emit_end(out);
}

static void emit_zeroed(struct emit *out, const struct zeroed_table *z)
{
	emit_begin(out, NULL, NULL);
	emit_integer(out, "offset", NULL, z->host);
	emit_integer(out, "l1-index", NULL, z->l1_idx);
	emit_integer(out, "clusters", NULL, z->clusters);
	emit_end(out);
}

void check_orphans_json(struct emit *out, const struct orphans *o)
{
	if (o->suspects)
		emit_integer(out, "suspect-clusters", NULL, o->suspects);
	if (o->uncounted)
		emit_integer(out, "uncounted-clusters", NULL, o->uncounted);
	if (!o->nr && !o->zeroed_nr)
		return;
	emit_begin_list(out, "orphans", NULL);
	for (size_t i = 0; i < o->nr; i++)
		emit_orphan(out, &o->list[i]);
	emit_end(out);
	emit_begin_list(out, "zeroed-tables", NULL);
	for (size_t i = 0; i < o->zeroed_nr; i++)
		if (o->zeroed[i].clusters)
			emit_zeroed(out, &o->zeroed[i]);
	emit_end(out);
}
