#include "base/bits.h"

#include <string.h>

#include "base/align.h"

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* 128 bytes a step: the compiler turns the ORs into vector loads, and the early exit keeps
 * blocks of data cheap, which differ from zero in their first bytes nearly always. */
bool bytes_are_zero(const void *start, size_t n)
{
	const uint8_t *p = start;

	if (n >= 8 && (load64(p) | load64(p + n - 8)))
		return false;
	for (; n >= 128; p += 128, n -= 128) {
		uint64_t any = 0;

		for (size_t i = 0; i < 128; i += 8)
			any |= load64(p + i);
		if (any)
			return false;
	}
	for (; n >= 8; p += 8, n -= 8)
		if (load64(p))
			return false;
	for (; n; p++, n--)
		if (*p)
			return false;
	return true;
}

size_t bytes_zero_run(const uint8_t *p, size_t n, size_t step, bool *zero)
{
	size_t done = MIN(step, n);

	*zero = bytes_are_zero(p, done);
	while (done < n) {
		size_t len = MIN(step, n - done);

		if (bytes_are_zero(p + done, len) != *zero)
			break;
		done += len;
	}
	return done;
}
