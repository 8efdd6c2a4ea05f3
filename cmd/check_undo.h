#pragma once
#include <popt.h>

#include "cmd/common.h"
#include "ops/repair.h"
#include "ops/repair_plan.h"

/* Options of `check` for a repair that can be taken back, or is only planned. */
struct check_undo {
	const char *undo, *apply;
	int plan;
};

/* Their rows of the table of options. */
#define CHECK_UNDO(u)                                                                      \
	{ "dry-run", 0, POPT_ARG_NONE, &(u).plan, 0,                                       \
	  "with -r: write nothing, and show what would be written", NULL },                \
	{ "plan", 0, POPT_ARG_NONE, &(u).plan, 0, "the same as --dry-run", NULL },         \
	{ "undo", 0, POPT_ARG_STRING, &(u).undo, 0,                                        \
	  "with -r: keep what is overwritten in the new file UNDO", "UNDO" },              \
	{ "undo-apply", 0, POPT_ARG_STRING, &(u).apply, 0,                                 \
	  "make FILE what it was before the repair that made UNDO", "UNDO" }

/* Ends the program when they don't go together. `repair`: the word of -r, or NULL; rebuild: a header
 * is to be made anew, with --undo as well; looks: something is said of how to look, or to repair. */
void check_undo_take(const struct cmd *c, const struct check_undo *u, const char *repair,
		     bool rebuild, bool looks);
/* --undo-apply: the exit status. `cache_word`: that of --cache, or NULL. */
int check_undo_apply(const char *name, const char *undo, const char *cache_word);
/* How a file is opened that is written to in this cache mode. */
unsigned check_write_flags(const struct spec *s, const struct cache_mode *cache);

/* What would be written: lines, or the keys of a JSON object. */
void check_plan_human(const struct repair_plan *p);
struct emit;
void check_plan_json(struct emit *out, const struct repair_plan *p);
