#pragma once
#include "meta/map.h"
#include "meta/txn.h"

/* Edits of L1 and L2 tables. What they change is seen at once and reaches the file with the txn. */

/* Makes the L2 table of `guest` one that may be changed (5.5): a new one where there is none, a
 * copy where it is shared. *l2_off: its host offset. ERR_INVALID behind the end of the L1 table. */
int map_l2_make(const struct map *m, struct txn *x, uint64_t guest, uint64_t *l2_off,
		struct err *e) MUST_CHECK;
/* The L2 table of `guest` as it is; 0: there is none. */
int map_l2_find(const struct map *m, uint64_t guest, uint64_t *l2_off, struct err *e) MUST_CHECK;
/* Entry idx of the L2 table at l2_off. ERR_CORRUPT for one that nobody may follow. */
int map_entry_get(const struct map *m, uint64_t l2_off, uint32_t idx, struct l2_entry *x,
		  struct err *e) MUST_CHECK;

/* Word 0 and word 1 (extended entries only) of an entry as stored. */
struct map_words {
	uint64_t raw, bitmap;
};
/* Replaces entries idx .. idx+nr-1 of a table from map_l2_make(). */
int map_entries_set(const struct map *m, uint64_t l2_off, uint32_t idx,
		    const struct map_words *words, uint32_t nr, struct err *e) MUST_CHECK;
/* Replaces L1 entry idx. */
int map_l1_set(const struct map *m, uint32_t idx, uint64_t raw, struct err *e) MUST_CHECK;
