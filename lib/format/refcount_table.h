#pragma once
#include <stdint.h>

/* Refcount table entry (4.1) */
#define REFCOUNT_TABLE_OFFSET_MASK   UINT64_C(0xfffffffffffffe00)
#define REFCOUNT_TABLE_RESERVED_MASK UINT64_C(0x00000000000001ff)

struct refcount_table_entry {
	uint64_t block_off; /* host offset of the block, 0 = none; alignment NOT checked beyond
			     * the low nine bits */
	uint64_t reserved;  /* the reserved bits, in place; 0 in a sound entry */
};

static inline struct refcount_table_entry refcount_table_entry_decode(uint64_t raw)
{
	return (struct refcount_table_entry){
		.block_off = raw & REFCOUNT_TABLE_OFFSET_MASK,
		.reserved = raw & REFCOUNT_TABLE_RESERVED_MASK,
	};
}

static inline uint64_t refcount_table_entry_encode(const struct refcount_table_entry *x)
{
	return x->block_off | x->reserved;
}
