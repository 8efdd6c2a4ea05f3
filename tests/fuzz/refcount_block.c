#include "fuzz.h"

#include "base/align.h"
#include "format/refcount_block.h"

/* Width, start, length, value, then the block itself. */
struct run {
	unsigned order;
	uint64_t idx, nr, value;
};

static void filled_as_told(uint8_t *block, const uint8_t *before, uint64_t counts, struct run x)
{
	refcount_block_fill(block, x.order, x.idx, x.nr, x.value);
	for (uint64_t i = 0; i < counts; i++) {
		bool inside = i >= x.idx && i - x.idx < x.nr;
		uint64_t was = refcount_block_get(before, x.order, i);

		AGREE(refcount_block_get(block, x.order, i) == (inside ? x.value : was));
	}
}

static void decoded_as_it_stands(const uint8_t *block, struct run x)
{
	uint8_t *out = malloc(x.nr ? x.nr : 1);

	AGREE(out);
	refcount_block_get_saturated(block, x.order, x.idx, x.nr, out);
	for (uint64_t i = 0; i < x.nr; i++)
		AGREE(out[i] == MIN(refcount_block_get(block, x.order, x.idx + i), 255));
	free(out);
}

static void copied_one_by_one(const uint8_t *block, size_t bytes, uint64_t counts, unsigned order)
{
	uint8_t *copy = calloc(bytes ? bytes : 1, 1);

	AGREE(copy);
	for (uint64_t i = 0; i < counts; i++)
		refcount_block_set(copy, order, i, refcount_block_get(block, order, i));
	AGREE(!memcmp(copy, block, (size_t)(counts << order) / 8));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_over(data, size);
	struct run x = { .order = rd_u8(&r) % 7 };
	uint64_t counts;
	uint8_t *block;
	size_t bytes;

	x.idx = rd_be16(&r);
	x.nr = rd_be16(&r);
	x.value = rd_be64(&r);
	if (x.order < 6)
		x.value &= (UINT64_C(1) << (1u << x.order)) - 1;
	bytes = rd_left(&r);
	counts = bytes * 8 >> x.order;
	x.idx = MIN(x.idx, counts);
	x.nr = MIN(x.nr, counts - x.idx);
	block = malloc(bytes ? bytes : 1);
	AGREE(block);
	if (bytes)
		memcpy(block, data + r.pos, bytes);
	copied_one_by_one(block, bytes, counts, x.order);
	decoded_as_it_stands(block, x);
	if (bytes)
		filled_as_told(block, data + r.pos, counts, x);
	free(block);
	return 0;
}
