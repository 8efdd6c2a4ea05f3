#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when all n bytes are zero. Any alignment; n may be 0 (true). */
bool bytes_are_zero(const void *p, size_t n);

/* Length in bytes of the run at the start of p whose `step`-sized blocks are all zero
 * (*zero = true) or all have a non-zero byte (*zero = false). n > 0; the last block may be
 * short; step > 0. */
size_t bytes_zero_run(const uint8_t *p, size_t n, size_t step, bool *zero);

static inline bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* log2 of a power of two */
static inline unsigned log2_exact(uint64_t v)
{
	return (unsigned)__builtin_ctzll(v);
}
