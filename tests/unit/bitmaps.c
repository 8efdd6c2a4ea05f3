/* The arithmetic of granularities, and rows of bits against a plain array. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "image/bitmaps.h"

#define PAGE_BITS 9
#define PAGE	  (UINT64_C(8) << PAGE_BITS) /* bits in a page */

static void the_default_is_a_cluster_within_bounds(void)
{
	CHECK(bitmap_granularity_bits(9) == 12);
	CHECK(bitmap_granularity_bits(12) == 12);
	CHECK(bitmap_granularity_bits(14) == 14);
	CHECK(bitmap_granularity_bits(16) == 16);
	CHECK(bitmap_granularity_bits(21) == 16);
}

static void the_last_bit_may_stand_for_less(void)
{
	CHECK(bitmap_bits(0, 9) == 0);
	CHECK(bitmap_bits(512, 9) == 1);
	CHECK(bitmap_bits(512, 31) == 1);
	CHECK(bitmap_bits(UINT64_C(1) << 31, 31) == 1);
	CHECK(bitmap_bits((UINT64_C(1) << 31) + 512, 31) == 2);
	CHECK(bitmap_bits(INT64_MAX - 511, 9) == (UINT64_C(1) << 54) - 1);
}

static void what_is_touched_is_the_least_that_covers_it(void)
{
	for (unsigned bits = 9; bits < 13; bits++)
		for (uint64_t guest = 0; guest < 9000; guest += 512)
			for (uint64_t len = 512; len < 9000; len += 512) {
				uint64_t first, end, grain = UINT64_C(1) << bits;

				bitmap_touched(guest, len, bits, &first, &end);
				CHECK(first * grain <= guest && (first + 1) * grain > guest);
				CHECK(end * grain >= guest + len);
				CHECK((end - 1) * grain < guest + len);
			}
}

static void half_a_gigabyte_is_the_most(void)
{
	/* 2^29 bytes are 2^32 bits. */
	CHECK(bitmap_fits(UINT64_C(1) << 41, 9, 16));
	CHECK(!bitmap_fits((UINT64_C(1) << 41) + 512, 9, 16));
	CHECK(bitmap_fits(UINT64_C(1) << 41, 9, 9));
	CHECK(!bitmap_fits((UINT64_C(1) << 41) + 512, 9, 9));
	CHECK(!bitmap_fits(UINT64_C(1) << 44, 9, 21));
	CHECK(bitmap_fits(UINT64_C(1) << 44, 16, 9));
	CHECK(!bitmap_fits(INT64_MAX - 511, 30, 16));
	CHECK(bitmap_fits(INT64_MAX - 511, 31, 16));
}

static uint64_t random_below(uint64_t n)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

/* The row says what the array says, bit for bit. */
static bool agrees(struct bits *b, const uint8_t *model)
{
	struct err e = ERR_INIT;
	uint64_t at = 0, first, end;

	do {
		if (bits_next(b, at, &first, &end, &e) < 0 || first > end || end > b->nr)
			return false;
		for (uint64_t i = at; i < end; i++)
			if (model[i] != (i >= first))
				return false;
		if (end < b->nr && model[end])
			return false;
		at = end;
	} while (first < b->nr);
	return true;
}

static void any_stretch(uint64_t nr, uint64_t *first, uint64_t *end)
{
	uint64_t most = random_below(2) ? nr : 40;

	*first = random_below(nr);
	*end = *first + random_below(MIN(most, nr - *first) + 1);
	if (!random_below(4))
		*end = nr;
	if (!random_below(4))
		*first = *first / PAGE * PAGE;
}

static void rows_do_what_an_array_does(void)
{
	for (unsigned round = 0; round < 200; round++) {
		uint64_t nr = 1 + random_below(5 * PAGE), first, end;
		uint8_t *model = calloc(1, nr), *other_model = calloc(1, nr);
		struct err e = ERR_INIT;
		struct bits b, other;

		CHECK(bits_init(&b, NULL, nr, PAGE_BITS, &e) == 0);
		CHECK(bits_init(&other, NULL, nr, 9 + round % 4, &e) == 0);
		for (unsigned step = 0; step < 12; step++) {
			any_stretch(nr, &first, &end);
			CHECK(bits_set(&b, first, end, &e) == 0);
			memset(model + first, 1, end - first);
			CHECK(agrees(&b, model));
			any_stretch(nr, &first, &end);
			if (random_below(3))
				end = MIN(end, first + 10);
			CHECK(bits_set(&other, first, end, &e) == 0);
			memset(other_model + first, 1, end - first);
			if (random_below(6))
				continue;
			CHECK(bits_or(&b, &other, &e) == 0);
			for (uint64_t i = 0; i < nr; i++)
				model[i] |= other_model[i];
			CHECK(agrees(&b, model));
			CHECK(bits_fill(&other, step % 2, &e) == 0);
			memset(other_model, step % 2, nr);
			CHECK(agrees(&other, other_model));
		}
		bits_fini(&b);
		bits_fini(&other);
		free(model);
		free(other_model);
	}
}

/* Pages in the file, the last of which ends with it, and has bits that stand for nothing. */
static void pages_are_read_when_they_are_needed(void)
{
	uint8_t bytes[1024 + 3], model[PAGE + 20] = { 0 };
	struct err e = ERR_INIT;
	struct file *f;
	struct bits b;
	uint64_t kind;
	const uint8_t *page;

	memset(bytes, 0, sizeof bytes);
	bytes[512] = 0x81;
	bytes[1023] = 0xf0;
	bytes[1024] = 0x02;
	bytes[1025] = 0;
	bytes[1026] = 0xff;
	f = file_mem_new(bytes, sizeof bytes, &e);
	CHECK(f && bits_init(&b, f, PAGE + 20, PAGE_BITS, &e) == 0);
	b.pages[0].stored = 512;
	b.pages[1].stored = 1024;
	model[0] = model[7] = 1;
	memset(model + PAGE - 4, 1, 4);
	model[PAGE + 1] = 1;
	memset(model + PAGE + 16, 1, 4);
	CHECK(agrees(&b, model));
	CHECK(!b.pages[0].mem && !b.pages[1].mem);
	CHECK(bits_set(&b, PAGE + 3, PAGE + 4, &e) == 0);
	model[PAGE + 3] = 1;
	CHECK(agrees(&b, model) && !b.pages[0].mem);
	CHECK(bits_page_get(&b, 1, &kind, &page, &e) == 0 && page[0] == 0x0a && page[2] == 0x0f);
	CHECK(bits_set(&b, 0, PAGE, &e) == 0);
	CHECK(!b.pages[0].mem && b.pages[0].stored == BITS_ONES);
	bits_fini(&b);
	file_drop(f);
}

static void rows_that_are_alike_take_no_memory(void)
{
	struct err e = ERR_INIT;
	struct bits b;
	uint64_t first, end, in_memory = 0;

	CHECK(bits_init(&b, NULL, (UINT64_C(1) << 32) - 5, 16, &e) == 0);
	CHECK(bits_fill(&b, true, &e) == 0);
	CHECK(bits_next(&b, 77, &first, &end, &e) == 0 && first == 77 && end == b.nr);
	for (uint64_t i = 0; i < b.page_nr; i++)
		in_memory += b.pages[i].mem != NULL;
	CHECK(in_memory == 1);
	bits_fini(&b);
}

int main(void)
{
	RUN(the_default_is_a_cluster_within_bounds);
	RUN(the_last_bit_may_stand_for_less);
	RUN(what_is_touched_is_the_least_that_covers_it);
	RUN(half_a_gigabyte_is_the_most);
	RUN(rows_do_what_an_array_does);
	RUN(pages_are_read_when_they_are_needed);
	RUN(rows_that_are_alike_take_no_memory);
	return DONE();
}
