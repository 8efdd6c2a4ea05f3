#pragma once
/* What the parts of repair_snapshots() share. */
#include "format/snapshot_entry.h"
#include "ops/repair_internal.h"

#define SNAPSHOT_FIXED_BYTES 40
#define SNAPSHOT_ENTRY_BYTES_MAX                                                           \
	(SNAPSHOT_FIXED_BYTES + SNAPSHOT_EXTRA_MAX + 2 * (size_t)UINT16_MAX)

struct snapshot_repair {
	struct repair *repair;
	uint8_t *bytes;  /* the old one, and what follows it */
	size_t n, taken; /* all of it; up to the end of what makes sense */
	struct wr out;
	uint32_t seen, kept; /* entries */
	bool tells;          /* that they are repaired */
	bool empties;        /* the L1 tables of those that are dropped, in the old table */
	uint8_t entry[SNAPSHOT_ENTRY_BYTES_MAX];
};

/* Goes through the old table, entry by entry, and makes the new one in t->out. tells: the
 * user hears what is repaired. */
int snapshot_entries_take(struct snapshot_repair *t, bool tells, struct err *e) MUST_CHECK;
/* That this is repaired, with a value, and `how` (NULL: as the table of problems says). */
void snapshots_told(struct repair *r, enum problem_kind kind, uint64_t place,
		    uint64_t value, const char *how);
