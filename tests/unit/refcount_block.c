#include "check.h"

#include "base/align.h"
#include "base/bytes.h"
#include "bytes_help.h"
#include "format/refcount_block.h"

#define COUNTS 300

static uint64_t largest(unsigned order)
{
	return order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << order)) - 1;
}

static size_t block_bytes(unsigned order)
{
	return (((size_t)COUNTS << order) + 7) / 8;
}

/* A count of every size that the width has, in an order that shows swapped neighbours. */
static uint64_t sample(unsigned order, uint64_t idx)
{
	uint64_t v = (idx + 1) * 0x9e3779b97f4a7c15;

	return v >> (v & 63) & largest(order);
}

static uint8_t *sample_block(unsigned order)
{
	uint8_t *block = exact_copy((uint8_t[COUNTS * 8]){ 0 }, block_bytes(order));

	for (uint64_t i = 0; i < COUNTS; i++)
		refcount_block_set(block, order, i, sample(order, i));
	return block;
}

static void the_documented_blocks_read_as_documented(void)
{
	static const uint8_t counts[] = { 1, 1, 1, 1, 3, 3, 3, 3, 1, 0, 1, 1 };
	uint8_t two[3] = { 0 }, four[6] = { 0 }, want[6], b5[8];

	for (unsigned i = 0; i < sizeof counts; i++) {
		refcount_block_set(two, 1, i, counts[i]);
		refcount_block_set(four, 2, i, counts[i]);
	}
	CHECK(hex("55 ff 51", want) == 3 && !memcmp(two, want, 3));
	CHECK(hex("11 11 33 33 01 11", want) == 6 && !memcmp(four, want, 6));
	hex("55aa 0500 0000 0000", b5);
	for (unsigned i = 0; i < 12; i++)
		CHECK(refcount_block_get(b5, 1, i) == (i < 4 ? 1 : i < 8 ? 2 : i < 10 ? 1 : 0));
}

static void wide_counts_are_big_endian(void)
{
	uint8_t block[16] = { 0 };

	refcount_block_set(block, 4, 1, 0x1234);
	CHECK(block[2] == 0x12 && block[3] == 0x34);
	refcount_block_set(block, 5, 1, 0x12345678);
	CHECK(block[4] == 0x12 && block[7] == 0x78);
	refcount_block_set(block, 6, 1, 0x123456789abcdef0);
	CHECK(block[8] == 0x12 && block[15] == 0xf0);
	CHECK(refcount_block_get(block, 3, 9) == 0x34);
}

static void every_width_keeps_every_count(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		uint8_t *block = sample_block(order);

		for (uint64_t i = 0; i < COUNTS; i++)
			CHECK(refcount_block_get(block, order, i) == sample(order, i));
		for (uint64_t i = 0; i < COUNTS; i++) { /* neighbours stay as they were */
			refcount_block_set(block, order, i, largest(order));
			CHECK(refcount_block_get(block, order, i) == largest(order));
			refcount_block_set(block, order, i, sample(order, i));
			if (i)
				CHECK(refcount_block_get(block, order, i - 1) == sample(order, i - 1));
			if (i + 1 < COUNTS)
				CHECK(refcount_block_get(block, order, i + 1) == sample(order, i + 1));
		}
		free(block);
	}
}

static void runs_are_decoded_like_single_counts(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		uint8_t *block = sample_block(order);

		for (uint64_t from = 0; from < 20; from++)
			for (uint64_t nr = 0; nr <= COUNTS - from; nr += nr < 40 ? 1 : 7) {
				uint8_t *out = exact_copy((uint8_t[COUNTS]){ 0 }, nr);

				refcount_block_get_saturated(block, order, from, nr, out);
				for (uint64_t i = 0; i < nr; i++)
					CHECK(out[i] == MIN(sample(order, from + i), 255));
				free(out);
			}
		free(block);
	}
}

static void counts_above_255_saturate(void)
{
	static const uint64_t values[] = { 0, 1, 254, 255, 256, 257, 0xff00, 0xffff, 0x10000,
					   0x100000001, UINT64_MAX };
	uint8_t block[8], out;

	for (unsigned order = 4; order <= 6; order++)
		for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
			uint64_t v = MIN(values[i], largest(order));

			refcount_block_set(block, order, 0, v);
			refcount_block_get_saturated(block, order, 0, 1, &out);
			CHECK(out == MIN(v, 255));
		}
}

static void a_fill_changes_its_run_and_nothing_else(void)
{
	for (unsigned order = 0; order <= 6; order++)
		for (uint64_t from = 0; from < 20; from++)
			for (uint64_t nr = 0; nr <= COUNTS - from; nr += nr < 20 ? 1 : 31) {
				uint64_t value = sample(order, from + nr + 5) | 1;
				uint8_t *block = sample_block(order);

				refcount_block_fill(block, order, from, nr, value);
				for (uint64_t i = 0; i < COUNTS; i++)
					CHECK(refcount_block_get(block, order, i) ==
					      (i >= from && i < from + nr ? value : sample(order, i)));
				free(block);
			}
}

/* Against single counts. What is refused is left to who looks at each count. */
static void easy_changes_are_like_single_ones(void)
{
	static const uint64_t counts[] = { 0, 1, 2, 254, 255, 256, 65280, 65281, 65534, 65535 };
	static const uint8_t bys[] = { 0, 1, 2, 254, 255 };
	uint8_t by[COUNTS] = { 0 };

	for (size_t k = 0; k < sizeof counts / sizeof *counts * sizeof bys * 2; k++) {
		uint64_t count = counts[k / 2 / sizeof bys], add = bys[k / 2 % sizeof bys];
		bool raise = k % 2;
		bool fits = raise ? !add || (count && count + add <= 65535) : count >= add;
		uint8_t *block = sample_block(4);

		refcount_block_fill(block, 4, 0, COUNTS, 7);
		refcount_block_set(block, 4, 40, count);
		by[40] = (uint8_t)add;
		CHECK(refcount_block_could_change(block, 4, 3, COUNTS - 3, by + 3, raise) ==
		      (fits && add != 255));
		CHECK(!refcount_block_could_change(block, 3, 3, COUNTS - 3, by + 3, raise));
		if (fits) {
			CHECK(refcount_block_change(block, 4, 3, COUNTS - 3, by + 3, raise) ==
			      (add != 255));
			for (uint64_t i = 0; i < COUNTS; i++)
				CHECK(refcount_block_get(block, 4, i) ==
				      (i != 40 ? 7 : add == 255 ? count : raise ? count + add
										: count - add));
		}
		free(block);
	}
}

int main(void)
{
	RUN(the_documented_blocks_read_as_documented);
	RUN(wide_counts_are_big_endian);
	RUN(every_width_keeps_every_count);
	RUN(runs_are_decoded_like_single_counts);
	RUN(counts_above_255_saturate);
	RUN(a_fill_changes_its_run_and_nothing_else);
	RUN(easy_changes_are_like_single_ones);
	return DONE();
}
