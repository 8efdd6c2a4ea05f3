#pragma once
#include "ops/check.h"

/* Repair: takes an image from what a check finds to what a check finds clean, as far as that is
 * possible without inventing data. See "How a repair flows" in lib/README. */

/* Which lost L2 tables go back (see ops/orphans.h). */
enum repair_reattach {
	REATTACH_NONE,
	REATTACH_SURE,	/* those with ORPHAN_CONFIDENCE or more */
	REATTACH_GUESS, /* and, for tables that were zeroed, what they may have mapped */
};

/* One by hand: the table at `host` becomes that of L1 entry l1_idx of the disk. */
struct repair_attach {
	uint32_t l1_idx;
	uint64_t host;
};

struct repair_options {
	bool all; /* else leaks alone, and COPIED flags where nothing else is wrong */

	/* What is found before anything is repaired; and, behind a call of again(), what is left
	 * when that is done. Each may be NULL. */
	void (*found)(void *arg, const struct finding *f);
	void (*again)(void *arg);
	/* What is about to be repaired: the finding, and what is done about it where that is not the
	 * step of its kind (else NULL). */
	void (*fixed)(void *arg, const struct finding *f, const char *how);
	/* What the user should know: a line. */
	void (*say)(void *arg, const char *text);
	void *arg;
	const struct watch *watch; /* may be NULL */

	bool deep;	    /* as struct check_options, before anything is repaired and at the end */
	bool free_suspects; /* leaked clusters that may be lost data are freed, too */
	bool drop_snapshots; /* with `all` only, as the next: snapshots that cannot be read go */
	enum repair_reattach reattach;
	const struct repair_attach *attach; /* attach_nr of them */
	size_t attach_nr;
	/* What is touched, before anything is repaired; what leaks are, at the end. Each may be
	 * NULL. */
	struct impact *impact;
	struct orphans *orphans;
};

struct repair_result {
	struct check_result check; /* of the last pass: what is left */
	uint64_t corruptions_fixed, leaks_fixed;
	uint64_t fixed[PROBLEM_KINDS]; /* of each kind */
	bool changed;	  /* something was written */
	bool leaks_kept; /* leaked clusters that may be data were left alone */
};

/* What writes go through. */
struct repair_file {
	unsigned write_flags; /* FILE_DIRECT, FILE_SYNC_WRITES, FILE_NO_FLUSH */
	bool plan;	      /* nothing is written: see repair_plan.h */
	const char *undo;     /* path of an undo file, which must not exist or be empty; or NULL */
};

/* Opens for repair: as check_open(), for writing and locked as a writer does; a plan, as a reader. */
int repair_open(const struct spec *s, const struct repair_file *how, const struct listener *l,
		struct image **img, struct err *e) MUST_CHECK;

/* Everything is durable when this returns 0. Fails when the check cannot go on, or a write fails;
 * the next repair goes on from there. Afterwards the image can only be closed: what it knows of its
 * header and tables is out of date. A sound image is not written to. */
int repair_image(struct image *img, const struct repair_options *o, struct repair_result *r,
		 struct err *e) MUST_CHECK;
