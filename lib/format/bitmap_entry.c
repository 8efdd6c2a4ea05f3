#include "format/bitmap_entry.h"

#include <assert.h>
#include <inttypes.h>

#include "base/align.h"
#include "format/l1_entry.h"
#include "format/limits.h"

#define ENTRY_FIXED_BYTES 24

int bitmap_entry_decode(struct rd *r, struct bitmap_entry *b, struct err *e)
{
	uint16_t name_len;
	uint32_t extra_len;

	b->table_off = rd_be64(r);
	b->table_nr = rd_be32(r);
	b->flags = rd_be32(r);
	b->type = rd_u8(r);
	b->granularity_bits = rd_u8(r);
	name_len = rd_be16(r);
	extra_len = rd_be32(r);
	b->extra = rd_bytes(r, extra_len);
	b->name = rd_bytes(r, name_len);
	rd_pad(r, 8);

	if (r->failed)
		return err_set(
		    e, ERR_CORRUPT,
		    "entry runs past the end of the bitmap directory of %zu bytes", r->n);
	if (b->table_off == 0 || b->table_off > FILE_OFFSET_MAX)
		return err_set(e, ERR_CORRUPT, "bitmap table at 0x%" PRIx64, b->table_off);
	if (b->table_nr == 0 || b->table_nr > BITMAP_TABLE_ENTRIES_MAX)
		return err_set(e, ERR_CORRUPT, "bitmap table of %" PRIu32 " entries",
			       b->table_nr);
	if (b->type != BITMAP_TYPE_DIRTY)
		return err_set(e, ERR_UNSUPPORTED, "unsupported bitmap type %u", b->type);
	if (b->granularity_bits < BITMAP_GRANULARITY_MIN ||
	    b->granularity_bits > BITMAP_GRANULARITY_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "unsupported bitmap granularity of 2^%u bytes",
			       b->granularity_bits);
	if (name_len == 0 || name_len > BITMAP_NAME_MAX)
		return err_set(e, ERR_CORRUPT, "bitmap name of %u bytes", name_len);
	return 0;
}

void bitmap_entry_encode(struct wr *w, const struct bitmap_entry *b)
{
	assert(b->name.n <= BITMAP_NAME_MAX && b->extra.n <= UINT32_MAX);
	wr_be64(w, b->table_off);
	wr_be32(w, b->table_nr);
	wr_be32(w, b->flags);
	wr_u8(w, b->type);
	wr_u8(w, b->granularity_bits);
	wr_be16(w, (uint16_t)b->name.n);
	wr_be32(w, (uint32_t)b->extra.n);
	wr_bytes(w, b->extra);
	wr_bytes(w, b->name);
	wr_pad(w, 8);
}

uint64_t bitmap_entry_len(const struct bitmap_entry *b)
{
	return align_up(ENTRY_FIXED_BYTES + b->extra.n + b->name.n, 8);
}

struct bitmap_table_entry bitmap_table_entry_decode(uint64_t raw)
{
	return (struct bitmap_table_entry){
		.data_off = raw & ENTRY_OFFSET_MASK,
		.reserved = raw & BITMAP_TABLE_RESERVED_MASK,
		.all_ones = raw & 1,
	};
}

uint64_t bitmap_table_entry_encode(const struct bitmap_table_entry *x)
{
	return x->data_off | x->reserved | x->all_ones;
}

uint64_t bitmap_table_entries(uint64_t size, unsigned granularity_bits,
			      unsigned cluster_bits)
{
	uint64_t bits = div_up(size, UINT64_C(1) << granularity_bits);

	return div_up(div_up(bits, 8), UINT64_C(1) << cluster_bits);
}
