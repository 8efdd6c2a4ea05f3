/* meta/counts.h against an array of plain numbers. */
#include "meta/counts.h"

#include <stdlib.h>

#include "check.h"

#define NR (3 * COUNTS_PAGE + 17)

static uint64_t plain[NR];
static uint64_t seed = 1;

static uint64_t next(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 33) % below;
}

static void plain_add(uint64_t first, uint64_t nr, uint64_t times)
{
	for (uint64_t i = first; i < first + nr && i < NR; i++) {
		plain[i] += times < UINT32_MAX ? times : UINT32_MAX;
		if (plain[i] > UINT32_MAX)
			plain[i] = UINT32_MAX;
	}
}

static void counts_of_any_size_are_kept(void)
{
	static const uint64_t times[] = { 1, 1, 2, 5, 127, 128, 254, 255, 256, 70000 };
	struct counts c;
	struct err e = ERR_INIT;
	uint64_t wrong = 0;

	CHECK(counts_init(&c, NR, &e) == 0);
	for (unsigned round = 0; round < 2000; round++) {
		uint64_t first = next(NR), nr = next(round % 2 ? 3 : 600);
		uint64_t t = times[next(sizeof times / sizeof *times)];

		CHECK(counts_add(&c, first, nr, t, &e) == 0);
		plain_add(first, nr, t);
	}
	for (uint64_t i = 0; i < NR; i++)
		wrong += counts_get(&c, i) != plain[i];
	CHECK(wrong == 0);
	counts_fini(&c);
}

static void a_count_stops_instead_of_wrapping(void)
{
	struct counts c;
	struct err e = ERR_INIT;

	CHECK(counts_init(&c, 10, &e) == 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK(counts_add(&c, 4, 2, UINT64_MAX / 2, &e) == 0);
	CHECK(counts_get(&c, 3) == 0 && counts_get(&c, 4) == UINT32_MAX &&
	      counts_get(&c, 5) == UINT32_MAX && counts_get(&c, 6) == 0);
	counts_fini(&c);
}

static void what_lies_behind_the_end_is_not_counted(void)
{
	struct counts c;
	struct err e = ERR_INIT;

	CHECK(counts_init(&c, 10, &e) == 0);
	CHECK(counts_add(&c, 8, 5, 1, &e) == 0 && counts_add(&c, 10, 1, 1, &e) == 0 &&
	      counts_add(&c, UINT64_MAX, 1, 1, &e) == 0);
	CHECK(counts_get(&c, 9) == 1 && counts_get(&c, 10) == 0 &&
	      counts_get(&c, UINT64_MAX) == 0);
	counts_fini(&c);
	CHECK(counts_init(&c, 0, &e) == 0 && counts_add(&c, 0, 1, 1, &e) == 0);
	counts_fini(&c);
}

static void pages_without_counts_are_known(void)
{
	struct counts c;
	struct err e = ERR_INIT;

	CHECK(counts_init(&c, NR, &e) == 0);
	CHECK(counts_add(&c, COUNTS_PAGE - 1, 2, 1, &e) == 0);
	CHECK(c.touched[0] && c.touched[1] && !c.touched[2] && !c.touched[3]);
	CHECK(counts_add_small(&c, NR - 1, 1) && c.touched[3] && counts_get(&c, NR - 1) == 1);
	CHECK(!counts_add_small(&c, NR - 1, 128) && counts_get(&c, NR - 1) == 1);
	counts_fini(&c);
}

static void what_two_have_in_common_cancels(void)
{
	struct counts a, b;
	struct err e = ERR_INIT;

	CHECK(counts_init(&a, NR, &e) == 0 && counts_init(&b, NR, &e) == 0);
	CHECK(counts_add(&a, 10, 3, 2, &e) == 0 && counts_add(&b, 11, 3, 3, &e) == 0);
	CHECK(counts_add(&a, NR - 2, 1, 300, &e) == 0 && counts_add(&b, NR - 2, 2, 5, &e) == 0);
	CHECK(counts_add(&a, NR - 1, 1, 254, &e) == 0);
	CHECK(counts_add(&a, COUNTS_PAGE + 1, 1, 1, &e) == 0);
	counts_cancel(&a, &b);
	CHECK(counts_get(&a, 10) == 2 && counts_get(&a, 11) == 0 && counts_get(&a, 12) == 0);
	CHECK(counts_get(&b, 10) == 0 && counts_get(&b, 11) == 1 && counts_get(&b, 13) == 3);
	CHECK(counts_get(&a, NR - 2) == 300 && counts_get(&b, NR - 2) == 5);
	CHECK(counts_get(&a, NR - 1) == 249 && counts_get(&b, NR - 1) == 0);
	CHECK(counts_get(&a, COUNTS_PAGE + 1) == 1);
	counts_fini(&a);
	counts_fini(&b);
}

int main(void)
{
	RUN(counts_of_any_size_are_kept);
	RUN(a_count_stops_instead_of_wrapping);
	RUN(what_lies_behind_the_end_is_not_counted);
	RUN(pages_without_counts_are_known);
	RUN(what_two_have_in_common_cancels);
	return DONE();
}
