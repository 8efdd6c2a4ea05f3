#pragma once
#include "ops/check.h"

/* Repair: takes an image from what a check finds to what a check finds clean, as far as that is
 * possible without inventing data. See "How a repair flows" in lib/README. */

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
};

struct repair_result {
	struct check_result check; /* of the last pass: what is left */
	uint64_t corruptions_fixed, leaks_fixed;
	uint64_t fixed[PROBLEM_KINDS]; /* of each kind */
	bool changed;	  /* something was written */
	bool leaks_kept; /* leaked clusters that may be data were left alone */
};

/* Opens for repair: as check_open(), for writing and locked as a writer does. write_flags:
 * FILE_DIRECT, FILE_SYNC_WRITES, FILE_NO_FLUSH. */
int repair_open(const struct spec *s, unsigned write_flags, const struct listener *l,
		struct image **img, struct err *e) MUST_CHECK;

/* Everything is durable when this returns 0. Fails when the check cannot go on, or a write fails;
 * the next repair goes on from there. Afterwards the image can only be closed: what it knows of its
 * header and tables is out of date. A sound image is not written to. */
int repair_image(struct image *img, const struct repair_options *o, struct repair_result *r,
		 struct err *e) MUST_CHECK;
