#pragma once
#include "ops/repair_internal.h"

/* A table to be put back. */
struct repair_back {
	struct repair *repair;
	uint32_t l1_idx;
	struct repair_table table; /* its host offset and bytes */
	uint64_t leaked;	   /* clusters that nobody else had */
};

/* Reads the table; the caller frees its bytes, also on failure. */
int repair_back_load(struct repair_back *b, struct repair *r, uint64_t host, uint32_t l1_idx,
		     struct err *e) MUST_CHECK;
/* One more reference to the clusters of host .. host+len-1. ERR_INVALID, and nothing done, unless all of
 * them are counted for it. */
int repair_back_refer(struct repair_back *b, uint64_t host, uint64_t len, struct err *e) MUST_CHECK;
/* The active L1 entry as it stands. ERR_INVALID if it is not there, or must not be changed. */
int repair_slot_read(struct repair *r, uint32_t idx, uint64_t *raw, struct err *e) MUST_CHECK;
/* ERR_INVALID, and nothing done, if the table or clusters that it maps are others'. */
int repair_table_put_back(struct repair_back *b, struct err *e) MUST_CHECK;

/* --- repair_attach.c --- */
/* Those that the user names. All of them are looked at before the first is put back. */
int repair_attach_tables(struct repair *r, struct err *e) MUST_CHECK;
