#pragma once
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
