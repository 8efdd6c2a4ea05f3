#include "format/refcount_block.h"

#include "base/align.h"

/* Narrow counts: which byte, which bits of it (4.2). */
static inline unsigned narrow_get(const uint8_t *block, unsigned order, uint64_t idx)
{
	unsigned shift = (unsigned)(idx << order) & 7, mask = (1u << (1u << order)) - 1;

	return block[idx >> (3 - order)] >> shift & mask;
}

static inline void narrow_set(uint8_t *block, unsigned order, uint64_t idx, unsigned value)
{
	unsigned shift = (unsigned)(idx << order) & 7, mask = (1u << (1u << order)) - 1;
	uint8_t *p = block + (idx >> (3 - order));

	*p = (uint8_t)((*p & ~(mask << shift)) | value << shift);
}

uint64_t refcount_block_get(const uint8_t *block, unsigned order, uint64_t idx)
{
	switch (order) {
	case 3:
		return block[idx];
	case 4:
		return be16_get(block + idx * 2);
	case 5:
		return be32_get(block + idx * 4);
	case 6:
		return be64_get(block + idx * 8);
	default:
		return narrow_get(block, order, idx);
	}
}

void refcount_block_set(uint8_t *block, unsigned order, uint64_t idx, uint64_t value)
{
	switch (order) {
	case 3:
		block[idx] = (uint8_t)value;
		break;
	case 4:
		be16_put(block + idx * 2, (uint16_t)value);
		break;
	case 5:
		be32_put(block + idx * 4, (uint32_t)value);
		break;
	case 6:
		be64_put(block + idx * 8, value);
		break;
	default:
		narrow_set(block, order, idx, (unsigned)value);
	}
}

/* Called with a constant order, so that each width becomes a loop of its own. */
static inline void narrow_unpack(const uint8_t *restrict block, unsigned order,
				 uint64_t idx, uint64_t nr, uint8_t *restrict out)
{
	const unsigned per_byte = 8u >> order;

	for (; nr && idx % per_byte; nr--)
		*out++ = (uint8_t)narrow_get(block, order, idx++);
	block += idx / per_byte;
	for (uint64_t i = 0; i < nr / per_byte; i++)
		for (unsigned k = 0; k < per_byte; k++)
			out[i * per_byte + k] = (uint8_t)narrow_get(block + i, order, k);
	for (uint64_t i = align_down(nr, per_byte); i < nr; i++)
		out[i] = (uint8_t)narrow_get(block, order, i);
}

/* Both bytes are loaded whatever they hold and joined without a branch: that is what lets the
 * compiler make vector code of it. */
static void unpack_16(const uint8_t *restrict p, uint64_t nr, uint8_t *restrict out)
{
	for (uint64_t i = 0; i < nr; i++) {
		uint8_t high = p[2 * i], low = p[2 * i + 1];

		out[i] = (uint8_t)(low | -(high != 0));
	}
}

static void unpack_32(const uint8_t *restrict p, uint64_t nr, uint8_t *restrict out)
{
	for (uint64_t i = 0; i < nr; i++)
		out[i] = (uint8_t)MIN(be32_get(p + 4 * i), 255);
}

static void unpack_64(const uint8_t *restrict p, uint64_t nr, uint8_t *restrict out)
{
	for (uint64_t i = 0; i < nr; i++)
		out[i] = (uint8_t)MIN(be64_get(p + 8 * i), 255);
}

void refcount_block_get_saturated(const uint8_t *block, unsigned order, uint64_t idx,
				  uint64_t nr, uint8_t *out)
{
	switch (order) {
	case 0:
		narrow_unpack(block, 0, idx, nr, out);
		break;
	case 1:
		narrow_unpack(block, 1, idx, nr, out);
		break;
	case 2:
		narrow_unpack(block, 2, idx, nr, out);
		break;
	case 3:
		memcpy(out, block + idx, nr);
		break;
	case 4:
		unpack_16(block + idx * 2, nr, out);
		break;
	case 5:
		unpack_32(block + idx * 4, nr, out);
		break;
	default:
		unpack_64(block + idx * 8, nr, out);
	}
}

static void narrow_fill(uint8_t *block, unsigned order, uint64_t idx, uint64_t nr,
			unsigned value)
{
	const unsigned per_byte = 8u >> order;
	/* 0xff, 0x55 or 0x11 times the value repeats it through the byte */
	uint8_t pattern = (uint8_t)(0xffu / ((1u << (1u << order)) - 1) * value);

	for (; nr && idx % per_byte; nr--)
		narrow_set(block, order, idx++, value);
	memset(block + idx / per_byte, pattern, nr / per_byte);
	idx += align_down(nr, per_byte);
	for (nr %= per_byte; nr; nr--)
		narrow_set(block, order, idx++, value);
}

void refcount_block_fill(uint8_t *block, unsigned order, uint64_t idx, uint64_t nr,
			 uint64_t value)
{
	switch (order) {
	case 3:
		memset(block + idx, (uint8_t)value, nr);
		break;
	case 4:
		for (uint64_t i = idx; i < idx + nr; i++)
			be16_put(block + i * 2, (uint16_t)value);
		break;
	case 5:
		for (uint64_t i = idx; i < idx + nr; i++)
			be32_put(block + i * 4, (uint32_t)value);
		break;
	case 6:
		for (uint64_t i = idx; i < idx + nr; i++)
			be64_put(block + i * 8, value);
		break;
	default:
		narrow_fill(block, order, idx, nr, (unsigned)value);
	}
}

/* No branch in the loops, as in unpack_16(). */
static bool could_raise_16(const uint8_t *restrict p, uint64_t nr, const uint8_t *restrict by)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < nr; i++) {
		unsigned count = (unsigned)p[2 * i] << 8 | p[2 * i + 1];

		bad |= (by[i] == 255) | ((by[i] != 0) & ((count == 0) | (count + by[i] > 65535)));
	}
	return !bad;
}

static bool could_lower_16(const uint8_t *restrict p, uint64_t nr, const uint8_t *restrict by)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < nr; i++) {
		unsigned count = (unsigned)p[2 * i] << 8 | p[2 * i + 1];

		bad |= (by[i] == 255) | (count < by[i]);
	}
	return !bad;
}

bool refcount_block_could_change(const uint8_t *block, unsigned order, uint64_t idx, uint64_t nr,
				 const uint8_t *by, bool raise)
{
	if (order != 4)
		return false;
	return raise ? could_raise_16(block + idx * 2, nr, by)
		     : could_lower_16(block + idx * 2, nr, by);
}

bool refcount_block_change(uint8_t *block, unsigned order, uint64_t idx, uint64_t nr,
			   const uint8_t *by, bool raise)
{
	uint8_t *restrict p = block + idx * 2;
	unsigned sign = raise ? 1 : 0u - 1, big = 0;

	if (order != 4)
		return false;
	for (uint64_t i = 0; i < nr; i++)
		big |= by[i] == 255;
	if (big)
		return false;
	for (uint64_t i = 0; i < nr; i++) {
		unsigned count = ((unsigned)p[2 * i] << 8 | p[2 * i + 1]) + sign * by[i];

		p[2 * i] = (uint8_t)(count >> 8);
		p[2 * i + 1] = (uint8_t)count;
	}
	return true;
}
