#pragma once
/* What the parts of orphans_place() share. */
#include "ops/orphans_internal.h"

/* What a sign is worth, of 100. */
#define SCORE_DATA_FILE 100
#define SCORE_SNAPSHOT_HAS 98
#define SCORE_SNAPSHOT_LIKE 95
#define SCORE_BROKEN 95
#define SCORE_ONLY_PLACE 90
#define SCORE_IN_ORDER 85
#define SCORE_NO_OTHER 95    /* there is one orphan, and one place on all of the disk */
#define SCORE_UNSURE 60      /* the last two, where tables don't lie in order */
#define SCORE_MANY_PLACES 60 /* divided by their number */

/* An L1 entry of the active disk that leads to a table, or to none though it may have. */
struct slot {
	uint64_t host; /* of the table; 0: the slot is free */
	uint64_t raw;
	uint32_t idx;
	bool leads_astray; /* free: to another table, or to none */
	bool is_zeroed;    /* free: it leads to a table without entries, and may go on to */
	bool kept;         /* of those that lead to one table */
};

struct place {
	struct check *check;
	struct orphans *out;
	struct slot *tables; /* by host offset */
	size_t table_nr, table_room;
	struct slot *free; /* by index: empty or broken */
	size_t free_nr, free_room;
	uint64_t seen; /* L1 entries so far */
	bool in_order; /* tables lie in the file as they do on the disk */
	bool cut;      /* not all are known */
};

/* First free slot with an index of at least idx. */
size_t place_free_from(const struct place *p, uint64_t idx);
bool place_is_free(const struct place *p, uint32_t idx);
/* That the orphan belongs to L1 entry idx: kept if no sign so far was worth more. */
void place_sign(struct place *p, struct orphan *o, uint32_t idx, unsigned score,
		enum orphan_reason why);
/* One walk over the image; `tables`: over its L2 tables, too. */
int place_walk(struct place *p, const struct walk_ops *ops, bool tables,
	       struct err *e) MUST_CHECK;

/* The entries of the active disk, free ones and others; p is empty so far
 * (orphans_place_l1.c). */
int place_slots_find(struct place *p, struct err *e) MUST_CHECK;
/* What an orphan itself, damaged entries and snapshots tell (orphans_place_signs.c). */
int place_signs_find(struct place *p, struct err *e) MUST_CHECK;
