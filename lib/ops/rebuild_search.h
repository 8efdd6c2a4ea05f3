#pragma once
/* The search for a header: what its parts share. */
#include "ops/orphans.h"
#include "ops/rebuild_internal.h"

struct rebuild_search {
	const struct spec *spec;
	const struct rebuild_options *options;
	struct rebuild_scan scan;
	uint8_t *old; /* the beginning of the file */
	size_t old_n;
	struct rebuild *best; /* bytes NULL: none yet */
	unsigned tried;
	uint64_t counted; /* clusters, in this layout */
};

/* --- rebuild_search.c: judging a proposal --- */

bool search_is_clean(const struct rebuild *r);
/* Nothing that maps more of the file is left to be found, without refcounts at least. */
bool search_is_enough(const struct rebuild_search *s);
/* The check of the image as it would be. *opens: whether it can be looked at. */
int search_check(struct rebuild_search *s, const struct rebuild *r,
		 struct check_result *result, struct orphans *orphans, bool *opens,
		 struct err *e) MUST_CHECK;
/* Takes r, with its bytes, if it is the best so far. */
int search_judge(struct rebuild_search *s, struct rebuild *r, struct err *e) MUST_CHECK;
/* Makes the bytes of a header, and judges them. */
int search_encode(struct rebuild_search *s, struct rebuild *r, struct err *e) MUST_CHECK;

/* --- rebuild_try.c --- */

/* Every layout and L1 table that the scan so far suggests, until one is enough. */
int search_all(struct rebuild_search *s, struct err *e) MUST_CHECK;

/* --- rebuild_try_ways.c --- */

/* The header that is there, with one bit otherwise. */
int search_ways(struct rebuild_search *s, struct err *e) MUST_CHECK;
