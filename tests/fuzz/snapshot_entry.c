#include "fuzz.h"

#include "format/snapshot_entry.h"

static void entries_agree(const struct snapshot_entry *a, const struct snapshot_entry *b)
{
	AGREE(a->l1_off == b->l1_off && a->l1_nr == b->l1_nr);
	AGREE(a->date_sec == b->date_sec && a->date_nsec == b->date_nsec);
	AGREE(a->vm_clock_nsec == b->vm_clock_nsec && a->vm_state_len == b->vm_state_len);
	AGREE(a->has_disk_size == b->has_disk_size && a->disk_size == b->disk_size);
	if (a->has_icount)
		AGREE(b->has_icount && a->icount == b->icount);
	AGREE(fuzz_same(a->id, b->id) && fuzz_same(a->name, b->name));
	AGREE(fuzz_same(a->extra_unknown, b->extra_unknown));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_over(data, size), s;
	struct err e = ERR_INIT, ignored = ERR_INIT;
	struct snapshot_entry a, b;
	uint64_t pos = 0;

	while (snapshot_entry_decode(&r, &a, &e) == 0) {
		uint64_t len = snapshot_entry_len(&a, pos);
		uint8_t *out = malloc(pos % 8 + len);
		struct wr w = wr_over(out, pos % 8 + len);

		AGREE(out && a.extra.n <= 1024);
		wr_zero(&w, pos % 8); /* as if another entry had ended here */
		snapshot_entry_encode(&w, &a);
		AGREE(!w.failed && w.pos == w.n);
		s = rd_over(out, w.n);
		s.pos = pos % 8;
		AGREE(snapshot_entry_decode(&s, &b, &e) == 0 && s.pos == s.n);
		entries_agree(&a, &b);
		ignored = ERR_INIT;
		if (snapshot_l1_check(&a, 16, &ignored) < 0)
			fuzz_refused(&ignored);
		pos += len;
		free(out);
	}
	fuzz_refused(&e);
	return 0;
}
