#pragma once
#include <stdbool.h>
#include <stdint.h>

#define ENTRY_OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define ENTRY_COPIED	  (UINT64_C(1) << 63)
#define L1_RESERVED_MASK  UINT64_C(0x7f000000000001ff)

/* L1 entry (5.1) */
struct l1_entry {
	uint64_t l2_off;   /* host offset of the L2 table, 0 = none; NOT known to be cluster
			    * aligned: only the low nine bits are masked away */
	uint64_t reserved; /* the reserved bits, in place; 0 in a sound entry */
	bool copied;
};

static inline struct l1_entry l1_entry_decode(uint64_t raw)
{
	return (struct l1_entry){
		.l2_off = raw & ENTRY_OFFSET_MASK,
		.reserved = raw & L1_RESERVED_MASK,
		.copied = raw & ENTRY_COPIED,
	};
}

static inline uint64_t l1_entry_encode(const struct l1_entry *x)
{
	return x->l2_off | x->reserved | (x->copied ? ENTRY_COPIED : 0);
}
