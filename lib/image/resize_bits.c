/* The bits of one bitmap in the file, while the disk changes its length: changed where they are, in
 * clusters that resize_bitmaps_check() has found to be the bitmap's own. */
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "format/bitmap_entry.h"
#include "image/resize_internal.h"

static uint64_t slice_size(const struct resize *z)
{
	return UINT64_C(1) << table_cache_slice_bits(z->img->tables);
}

/* `len` bytes that all are `byte`, edited only where there is anything else. */
static int fill_edit(struct resize *z, uint64_t off, uint64_t len, uint8_t byte, struct err *e)
{
	uint8_t fill[4096];
	uint64_t n;

	memset(fill, byte, sizeof fill);
	for (uint64_t end = off + len; off < end; off += n) {
		const struct table_slice *s;
		uint64_t in = off & (slice_size(z) - 1);
		bool same;

		n = MIN(MIN(end - off, slice_size(z) - in), sizeof fill);
		if (table_cache_get(z->img->tables, off - in, &s, e) < 0)
			return -1;
		same = !memcmp(s->bytes + in, fill, (size_t)n);
		table_cache_put(z->img->tables, s);
		if (!same && table_cache_edit(z->img->tables, off, fill, (size_t)n, e) < 0)
			return -1;
	}
	return 0;
}

int resize_zeros_edit(struct resize *z, uint64_t off, uint64_t len, struct err *e)
{
	return fill_edit(z, off, len, 0, e);
}

int resize_word_read(struct resize *z, uint64_t off, uint64_t *raw, struct err *e)
{
	const struct table_slice *s;
	uint64_t in = off & (slice_size(z) - 1);

	if (table_cache_get(z->img->tables, off - in, &s, e) < 0)
		return -1;
	*raw = be64_get(s->bytes + in);
	table_cache_put(z->img->tables, s);
	return 0;
}

int resize_word_write(struct resize *z, uint64_t off, uint64_t raw, struct err *e)
{
	uint8_t bytes[8];

	be64_put(bytes, raw);
	return table_cache_edit(z->img->tables, off, bytes, sizeof bytes, e);
}

/* A data cluster for the entry, all bytes of which are `byte`. */
static int data_make(struct resize *z, uint64_t entry_off, uint8_t byte, uint64_t *data_off,
		     struct err *e)
{
	if (txn_take_table(z->w->txn, TXN_BITMAP_TABLE, 1, data_off, e) < 0 ||
	    fill_edit(z, *data_off, geom_cluster_size(&z->img->geom), byte, e) < 0)
		return -1;
	return resize_word_write(z, entry_off, *data_off, e);
}

bool resize_can_follow(const struct resize *z, const struct bitmap_table_entry *x)
{
	return x->data_off && !geom_in_cluster(&z->img->geom, x->data_off) &&
	       table_cache_reaches(z->img->tables, x->data_off);
}

int resize_bits_cut(struct resize *z, const struct bitmap_entry *x, uint64_t bits,
		    struct err *e)
{
	unsigned cluster_bits = z->img->geom.cluster_bits;
	uint64_t in = bits & ((UINT64_C(8) << cluster_bits) - 1), raw, word;
	uint64_t entry_off = x->table_off + (bits >> (cluster_bits + 3)) * 8;
	struct bitmap_table_entry t;

	if (!in)
		return 0;
	if (resize_word_read(z, entry_off, &raw, e) < 0)
		return -1;
	t = bitmap_table_entry_decode(raw);
	/* "All ones" becomes real ones: those that are added are 0. */
	if (!t.data_off && t.all_ones && data_make(z, entry_off, 0xff, &t.data_off, e) < 0)
		return -1;
	if (!resize_can_follow(z, &t))
		return 0;
	/* Bits count from the lowest of each byte, words from the highest byte. */
	uint64_t off = t.data_off + in / 64 * 8, kept = in % 64;

	if (kept) {
		uint64_t mask = (UINT64_C(1) << kept) - 1;

		if (resize_word_read(z, off, &word, e) < 0)
			return -1;
		mask = __builtin_bswap64(mask);
		if ((word & ~mask) && resize_word_write(z, off, word & mask, e) < 0)
			return -1;
		off += 8;
	}
	return resize_zeros_edit(z, off, t.data_off + (UINT64_C(1) << cluster_bits) - off, e);
}

static int byte_or(struct resize *z, uint64_t off, uint8_t more, struct err *e)
{
	uint64_t in = off & (slice_size(z) - 1);
	const struct table_slice *s;
	uint8_t byte;

	if (table_cache_get(z->img->tables, off - in, &s, e) < 0)
		return -1;
	byte = s->bytes[in] | more;
	table_cache_put(z->img->tables, s);
	return table_cache_edit(z->img->tables, off, &byte, 1, e);
}

/* Bits first .. end-1 of the data cluster at data_off. */
static int data_set(struct resize *z, uint64_t data_off, uint64_t first, uint64_t end,
		    struct err *e)
{
	uint64_t from = data_off + first / 8, to = data_off + end / 8;
	uint8_t head = (uint8_t)(0xff << first % 8), tail = (uint8_t)((1 << end % 8) - 1);

	if (from == to)
		return byte_or(z, from, head & tail, e);
	if (byte_or(z, from, head, e) < 0 || fill_edit(z, from + 1, to - from - 1, 0xff, e) < 0)
		return -1;
	return tail ? byte_or(z, to, tail, e) : 0;
}

/* Bits first .. end-1 of what entry idx of the table leads to. */
static int page_set(struct resize *z, const struct bitmap_entry *x, uint64_t idx, uint64_t first,
		    uint64_t end, struct err *e)
{
	static const struct bitmap_table_entry ones = { .all_ones = true };
	uint64_t entry_off = x->table_off + idx * 8, raw;
	struct bitmap_table_entry t;

	if (resize_word_read(z, entry_off, &raw, e) < 0)
		return -1;
	t = bitmap_table_entry_decode(raw);
	if (!t.data_off && t.all_ones)
		return 0;
	if (!t.data_off && end - first == UINT64_C(8) << z->img->geom.cluster_bits)
		return resize_word_write(z, entry_off, bitmap_table_entry_encode(&ones), e);
	if (!t.data_off && data_make(z, entry_off, 0, &t.data_off, e) < 0)
		return -1;
	return resize_can_follow(z, &t) ? data_set(z, t.data_off, first, end, e) : 0;
}

int resize_bits_set(struct resize *z, const struct bitmap_entry *x, uint64_t first, uint64_t end,
		    struct err *e)
{
	unsigned shift = z->img->geom.cluster_bits + 3;

	for (uint64_t to; first < end; first = to) {
		uint64_t start = first >> shift << shift;

		to = MIN(end, start + (UINT64_C(1) << shift));
		if (page_set(z, x, first >> shift, first - start, to - start, e) < 0)
			return -1;
	}
	return 0;
}
