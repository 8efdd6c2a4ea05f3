#pragma once
#include "ops/check.h"
#include "ops/impact.h"
#include "ops/orphans.h"
#include "ops/repair_plan.h"

/* What `check` says of an image. */

enum check_status {
	STATUS_CLEAN = 0,
	STATUS_FAILED = 1, /* the check did not finish */
	STATUS_CORRUPT = 2,
	STATUS_LEAKS = 3,
	STATUS_NO_CHECK = 63, /* the format has none */
};

enum check_status check_status_of(const struct check_result *r);

/* What the check found, for stderr as it comes and for JSON afterwards. */
struct check_report {
	uint64_t lines_max;   /* of one kind */
	uint64_t details_max; /* in all; 0: none are wanted */
	bool limited;         /* the person set lines_max: it holds for details too */
	uint64_t lines[PROBLEM_KINDS];
	struct finding *details;
	size_t detail_nr, detail_room;
	uint64_t omitted;
	bool no_memory;
	struct impact impact;
	struct orphans orphans;

	/* what a repair did */
	struct finding *repairs;
	const char **repair_how; /* how, of each; NULL: as its kind says */
	size_t repair_nr, repair_room, how_room;
	bool repairing; /* what was found is told, and lines are counted anew */
	uint64_t corruptions_fixed, leaks_fixed;
	const struct repair_plan *plan; /* nothing was written: what would be; else NULL */
};

void check_report_fini(struct check_report *r);

/* Takes a finding; `arg` is the report. */
void check_report_found(void *arg, const struct finding *f);
/* The same for what is repaired. */
void check_report_fixed(void *arg, const struct finding *f, const char *how);
/* What comes now is told anew: the image was repaired. */
void check_report_again(void *arg);
/* How many findings were not shown. */
void check_report_rest(const struct check_report *r);

/* The result. */
void check_report_human(const struct check_result *r, const struct check_report *rep);
void check_report_json(const char *name, const struct check_result *r,
		       const struct check_report *rep);
