#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* Counts in a refcount block (4.2): 1 << order bits each; narrow ones fill a byte from its
 * least significant bit up. idx counts entries. */
uint64_t refcount_block_get(const uint8_t *block, unsigned order, uint64_t idx);
/* value <= largest count of the width; the caller has made sure. */
void refcount_block_set(uint8_t *block, unsigned order, uint64_t idx, uint64_t value);

/* Decodes counts idx .. idx+nr-1 into one byte each, larger counts as 255: the form that a
 * check compares with what it has counted. Whole-table speed: no call per entry. */
void refcount_block_get_saturated(const uint8_t *block, unsigned order, uint64_t idx,
				  uint64_t nr, uint8_t *out);
/* Sets counts idx .. idx+nr-1 to the same value, fast. */
void refcount_block_fill(uint8_t *block, unsigned order, uint64_t idx, uint64_t nr,
			 uint64_t value);

/* Counts idx .. idx+nr-1 and what each is to rise, or fall, by (0: it stays). Both are false, and
 * nothing was done, where this is not the easy case: counts of 16 bits, `by` below 255 everywhere,
 * and with could_change() each new count in range, and none raised from 0. */
bool refcount_block_could_change(const uint8_t *block, unsigned order, uint64_t idx, uint64_t nr,
				 const uint8_t *by, bool raise);
bool refcount_block_change(uint8_t *block, unsigned order, uint64_t idx, uint64_t nr,
			   const uint8_t *by, bool raise);
