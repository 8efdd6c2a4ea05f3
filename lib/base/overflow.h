#pragma once
#include <stdbool.h>
#include <stdint.h>

/* True when the sum or product does not fit; *out is then meaningless. For sums that are
 * genuinely open: what was decoded and checked once is computed with freely. */
static inline bool ovf_add(uint64_t a, uint64_t b, uint64_t *out)
{
	return __builtin_add_overflow(a, b, out);
}

static inline bool ovf_mul(uint64_t a, uint64_t b, uint64_t *out)
{
	return __builtin_mul_overflow(a, b, out);
}
