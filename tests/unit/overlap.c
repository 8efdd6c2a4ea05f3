#include "check.h"

#include <string.h>

#include "meta/overlap.h"

static void what_was_added_is_found(void)
{
	struct overlap o = { 0 };
	struct err e = ERR_INIT;
	uint64_t at;

	CHECK(overlap_find(&o, 0, 1000, &at) == OVERLAP_NONE);
	CHECK(overlap_add(&o, 0, 1, OVERLAP_HEADER, &e) == 0);
	CHECK(overlap_add(&o, 10, 5, OVERLAP_L1_TABLE, &e) == 0);
	CHECK(overlap_find(&o, 0, 1, &at) == OVERLAP_HEADER && at == 0);
	CHECK(overlap_find(&o, 1, 9, &at) == OVERLAP_NONE);
	CHECK(overlap_find(&o, 1, 10, &at) == OVERLAP_L1_TABLE && at == 10);
	CHECK(overlap_find(&o, 14, 1, &at) == OVERLAP_L1_TABLE);
	CHECK(overlap_find(&o, 15, 1, &at) == OVERLAP_NONE);
	overlap_fini(&o);
}

static void two_structures_in_one_cluster_are_refused(void)
{
	struct overlap o = { 0 };
	struct err e = ERR_INIT;

	CHECK(overlap_add(&o, 7, 1, OVERLAP_L2_TABLE, &e) == 0);
	CHECK(overlap_add(&o, 5, 3, OVERLAP_REFCOUNT_TABLE, &e) < 0);
	CHECK(e.code == ERR_CORRUPT && strstr(e.text, "L2 table") && strstr(e.text, "refcount table"));
	overlap_fini(&o);
}

static void what_was_removed_is_gone_and_the_rest_stays(void)
{
	enum { NR = 5000 };
	struct overlap o = { 0 };
	struct err e = ERR_INIT;
	uint64_t at;

	for (uint64_t i = 0; i < NR; i++)
		CHECK(overlap_add(&o, i * 3, 1, OVERLAP_L2_TABLE, &e) == 0);
	for (uint64_t i = 0; i < NR; i += 2)
		overlap_remove(&o, i * 3, 1);
	for (uint64_t i = 0; i < NR; i++)
		CHECK(overlap_find(&o, i * 3, 1, &at) == (i % 2 ? OVERLAP_L2_TABLE : OVERLAP_NONE));
	/* They may come again, as something else. */
	for (uint64_t i = 0; i < NR; i += 2)
		CHECK(overlap_add(&o, i * 3, 1, OVERLAP_REFCOUNT_BLOCK, &e) == 0);
	for (uint64_t i = 0; i < NR; i++)
		CHECK(overlap_find(&o, i * 3, 1, &at) ==
		      (i % 2 ? OVERLAP_L2_TABLE : OVERLAP_REFCOUNT_BLOCK));
	overlap_fini(&o);
}

int main(void)
{
	RUN(what_was_added_is_found);
	RUN(two_structures_in_one_cluster_are_refused);
	RUN(what_was_removed_is_gone_and_the_rest_stays);
	return DONE();
}
