#pragma once
#include <popt.h>
#include <stdbool.h>
#include <stddef.h>

#include "ops/repair.h"

struct cmd;

/* Options of `check` about lost data: how closely to look, and what a repair is to do with it. */
struct check_wishes {
	int deep, free_suspects, drop_snapshots, reattach_sure, reattach_guess;
	char **attach_words;
	const char *reattach_word; /* behind --reattach=, if it is none that there is */

	enum repair_reattach reattach;
	struct repair_attach *attach; /* owned */
	size_t attach_nr;
};

/* Their rows of the table of options. */
#define CHECK_WISHES(w)                                                                    \
	{ "deep", 0, POPT_ARG_NONE, &(w).deep, 0,                                          \
	  "unpack every compressed cluster as well", NULL },                               \
	{ "free-suspects", 0, POPT_ARG_NONE, &(w).free_suspects, 0,                        \
	  "with -r: free leaked clusters that may be lost data, too", NULL },              \
	{ "drop-snapshots", 0, POPT_ARG_NONE, &(w).drop_snapshots, 0,                      \
	  "with -r all: drop snapshots that can't be read", NULL },                        \
	{ "reattach", 0, POPT_ARG_NONE, &(w).reattach_sure, 0,                             \
	  "with -r all: put lost L2 tables back where that is sure; --reattach=guess: where it is not", NULL }, \
	{ "reattach-guess", 0, POPT_ARG_NONE | POPT_ARGFLAG_DOC_HIDDEN, &(w).reattach_guess, 0, NULL, NULL }, \
	{ "attach", 0, POPT_ARG_ARGV, &(w).attach_words, 0,                                \
	  "with -r all: put the L2 table at OFFSET back as L1 entry INDEX", "INDEX=OFFSET" }

/* An option with a value that may be left out is not for a library that takes the next word then. */
void check_wishes_spell(struct check_wishes *w, int argc, const char **argv);
/* Ends the program when they don't go together. `repair`: the word of -r, or NULL. */
int check_wishes_take(const struct cmd *c, struct check_wishes *w, const char *repair,
		      struct err *e) MUST_CHECK;
/* Whether any of them was given. */
bool check_wishes_any(const struct check_wishes *w);
void check_wishes_fini(struct check_wishes *w);
