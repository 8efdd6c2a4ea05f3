#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* Entry of the bitmap directory (9.2) and of a bitmap table (9.3). */
#define BITMAP_IN_USE		(1u << 0)
#define BITMAP_AUTO		(1u << 1)
#define BITMAP_EXTRA_COMPATIBLE (1u << 2)
#define BITMAP_FLAGS_KNOWN	7u
#define BITMAP_TYPE_DIRTY	1

struct bitmap_entry {
	uint64_t table_off; /* not 0, below 2^63; cluster alignment is checked by the caller, who
			     * has a geom */
	uint32_t table_nr;  /* entries, 1..BITMAP_TABLE_ENTRIES_MAX */
	uint32_t flags;
	uint8_t type;
	uint8_t granularity_bits;
	struct bytes extra; /* kept verbatim */
	struct bytes name;  /* 1..BITMAP_NAME_MAX bytes, not terminated, not to be trusted */
};

/* The cursor must be over the whole directory. ERR_CORRUPT for an entry, padding included,
 * that runs past the end, and for a table or a name out of range; ERR_UNSUPPORTED for an
 * unknown type or granularity. Reserved flag bits, extra data without
 * BITMAP_EXTRA_COMPATIBLE, and names that are not unique are for the caller. Bytes point
 * into the cursor's buffer. */
int bitmap_entry_decode(struct rd *r, struct bitmap_entry *b, struct err *e) MUST_CHECK;
/* Writes the entry with its padding; the cursor stands at a multiple of 8. */
void bitmap_entry_encode(struct wr *w, const struct bitmap_entry *b);
/* bytes that bitmap_entry_encode() writes */
uint64_t bitmap_entry_len(const struct bitmap_entry *b);

#define BITMAP_TABLE_RESERVED_MASK UINT64_C(0xff000000000001fe)
struct bitmap_table_entry {
	uint64_t data_off; /* 0: all zeros or all ones; alignment NOT checked */
	uint64_t reserved; /* the reserved bits, in place; 0 in a sound entry */
	bool all_ones;	   /* a fault when data_off is there */
};

struct bitmap_table_entry bitmap_table_entry_decode(uint64_t raw);
uint64_t bitmap_table_entry_encode(const struct bitmap_table_entry *x);

/* Table entries that a bitmap of this granularity needs for a disk of `size` bytes (9.3). */
uint64_t bitmap_table_entries(uint64_t size, unsigned granularity_bits, unsigned cluster_bits);
