#pragma once
#include "ops/check_internal.h"
#include "ops/impact.h"

/* --- impact.c: what the findings say --- */

/* A place that a finding names: of an L2 entry, or where compressed bytes begin. */
struct impact_mark {
	uint64_t at; /* host offset */
	uint8_t how;
};

struct impact_marks_list {
	struct impact_mark *marks;
	size_t nr, room;
};

/* Ranges gathered so far, in any order. */
struct impact_ranges {
	struct impact_range *ranges;
	size_t nr, room;
	bool more;
};

/* Memory: two bits per host cluster from the first finding on that needs them, and lists that are
 * bounded by IMPACT_MARKS_MAX and IMPACT_RANGES_MAX. */
struct impact_marks {
	uint8_t *clusters[IMPACT_HOWS]; /* bit per host cluster */
	struct impact_marks_list entries, packed;
	struct impact_ranges direct; /* said by findings themselves */
	bool any, whole, whole_damaged, snapshots, snapshots_lost, no_memory;
};
#define IMPACT_MARKS_MAX  ((size_t)1 << 19) /* 8 MiB */
#define IMPACT_RANGES_MAX ((size_t)1 << 20) /* 32 MiB */

int impact_marks_new(struct check *c, struct err *e);
void impact_marks_free(struct impact_marks *m);
/* Notes what a finding touches. */
void impact_mark(struct check *c, const struct finding *f);
/* The same for a structure that could not be read. */
void impact_mark_unread(struct check *c, const struct walk_fault *w);
/* Whether one of the clusters first .. first+nr-1 is marked so. */
bool impact_marked(const struct check *c, enum impact_how how, uint64_t first, uint64_t nr);
void impact_range_add(struct check *c, struct impact_ranges *to, uint32_t owner,
		      enum impact_how how, uint64_t guest, uint64_t len);

/* --- impact_walk.c: what leads there --- */
/* Fills o->impact; nothing is read without a mark. */
int impact_find(struct check *c, struct err *e);

/* --- impact_owners.c: whose that is --- */
/* Sorts `all`, and fills the owners and ranges of o->impact. */
int impact_settle(struct check *c, struct impact_ranges *all, struct err *e);
