#pragma once
#include "ops/repair_entries.h"

/* The entry at hand. */
struct repair_entry {
	struct repair *repair;
	const struct walk_l2_table *at;
	uint32_t idx;
	uint64_t guest;
	uint64_t raw, bitmap; /* as they are to be */
	struct l2_entry x;    /* as they were */
};

/* Says what becomes of the entry; how: NULL for what is usual with this kind. */
void entry_told(const struct repair_entry *n, enum problem_kind kind, const char *how);
/* Makes an entry that can't be had read as zeros, and what to say of that. */
void entry_drop(struct repair_entry *n);
const char *entry_dropped(const struct repair_entry *n);
/* Whether the stored count of the cluster at `host` is what the check found, with this
 * reference. */
bool repair_is_counted(struct repair *r, uint64_t host);
void repair_packed_entry(struct repair_entry *n);
