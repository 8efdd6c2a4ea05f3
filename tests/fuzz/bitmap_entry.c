#include "fuzz.h"

#include "format/bitmap_entry.h"
#include "format/limits.h"

static void entries_agree(const struct bitmap_entry *a, const struct bitmap_entry *b)
{
	AGREE(a->table_off == b->table_off && a->table_nr == b->table_nr);
	AGREE(a->flags == b->flags && a->type == b->type);
	AGREE(a->granularity_bits == b->granularity_bits);
	AGREE(fuzz_same(a->extra, b->extra) && fuzz_same(a->name, b->name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_over(data, size), s;
	struct err e = ERR_INIT;
	struct bitmap_entry a, b;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t raw = be64_get(data + i);
		struct bitmap_table_entry x = bitmap_table_entry_decode(raw);

		AGREE(bitmap_table_entry_encode(&x) == raw);
	}
	while (bitmap_entry_decode(&r, &a, &e) == 0) {
		uint64_t len = bitmap_entry_len(&a);
		uint8_t *out = malloc(len);
		struct wr w = wr_over(out, len);

		AGREE(out && a.name.n && a.name.n <= BITMAP_NAME_MAX && len <= size);
		bitmap_entry_encode(&w, &a);
		AGREE(!w.failed && w.pos == len);
		s = rd_over(out, len);
		AGREE(bitmap_entry_decode(&s, &b, &e) == 0 && s.pos == len);
		entries_agree(&a, &b);
		AGREE(bitmap_table_entries(a.table_off, a.granularity_bits, 16) <=
		      (a.table_off >> 28) + 1);
		free(out);
	}
	fuzz_refused(&e);
	return 0;
}
