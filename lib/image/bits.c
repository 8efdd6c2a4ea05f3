#include "image/bits.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"

static size_t page_size(const struct bits *b)
{
	return (size_t)1 << b->page_bits;
}

/* log2 of the bits in a page */
static unsigned page_shift(const struct bits *b)
{
	return b->page_bits + 3;
}

static uint64_t page_first(const struct bits *b, uint64_t page)
{
	return page << page_shift(b);
}

static uint64_t page_end(const struct bits *b, uint64_t page)
{
	return MIN(page_first(b, page + 1), b->nr);
}

/* Ones are said of whole pages only: behind the last bit there are zeros. */
static bool page_is_whole(const struct bits *b, uint64_t page)
{
	return page_first(b, page + 1) <= b->nr;
}

int bits_init(struct bits *b, struct file *f, uint64_t nr, unsigned page_bits, struct err *e)
{
	*b = (struct bits){ .file = f, .nr = nr, .page_bits = page_bits };
	b->page_nr = div_up(div_up(nr, 8), page_size(b));
	b->buf_page = b->page_nr;
	b->pages = calloc(b->page_nr + 1, sizeof *b->pages);
	return b->pages ? 0 : err_nomem(e);
}

void bits_fini(struct bits *b)
{
	for (uint64_t i = 0; b->pages && i < b->page_nr; i++)
		free(b->pages[i].mem);
	free(b->pages);
	free(b->buf);
	*b = (struct bits){ 0 };
}

static void page_become(struct bits *b, uint64_t page, uint64_t stored)
{
	b->mem_nr -= b->pages[page].mem != NULL;
	free(b->pages[page].mem);
	b->pages[page] = (struct bits_page){ .stored = stored };
	if (b->buf_page == page)
		b->buf_page = b->page_nr;
}

int bits_page_get(struct bits *b, uint64_t page, uint64_t *kind, const uint8_t **bytes,
		  struct err *e)
{
	const struct bits_page *p = &b->pages[page];

	*bytes = p->mem;
	*kind = p->mem ? UINT64_MAX : p->stored;
	if (p->mem || p->stored == BITS_ZEROS || p->stored == BITS_ONES)
		return 0;
	if (!b->buf && !(b->buf = malloc(page_size(b))))
		return err_nomem(e);
	*bytes = b->buf;
	if (b->buf_page == page)
		return 0;
	b->buf_page = b->page_nr;
	if (file_read_padded(b->file, p->stored, b->buf, page_size(b), NULL, e) < 0)
		return err_ctx(e, "bitmap data");
	b->buf_page = page;
	return 0;
}

static void bytes_set(uint8_t *bytes, uint64_t first, uint64_t end)
{
	uint64_t from = first / 8, to = end / 8;
	uint8_t head = (uint8_t)(0xff << first % 8), tail = (uint8_t)((1 << end % 8) - 1);

	if (from == to) {
		bytes[from] |= head & tail;
		return;
	}
	bytes[from] |= head;
	memset(bytes + from + 1, 0xff, (size_t)(to - from - 1));
	if (tail)
		bytes[to] |= tail;
}

/* The page as it is in the file, at `mem`, which is all zeros. */
static int page_load(struct bits *b, uint64_t page, uint8_t *mem, struct err *e)
{
	uint64_t stored = b->pages[page].stored, used = page_end(b, page) - page_first(b, page);
	size_t n = (size_t)div_up(used, 8);

	if (stored == BITS_ONES)
		bytes_set(mem, 0, used);
	else if (stored != BITS_ZEROS && b->buf_page == page)
		memcpy(mem, b->buf, n);
	else if (stored != BITS_ZEROS && file_read_padded(b->file, stored, mem, n, NULL, e) < 0)
		return err_ctx(e, "bitmap data");
	if (used % 8)
		mem[used / 8] &= (uint8_t)((1 << used % 8) - 1);
	return 0;
}

/* Bytes of the page that may be changed; NULL on error. */
static uint8_t *page_edit(struct bits *b, uint64_t page, struct err *e)
{
	struct bits_page *p = &b->pages[page];

	if (!p->mem) {
		uint8_t *mem = calloc(1, page_size(b));

		if (!mem) {
			err_nomem(e);
			return NULL;
		}
		if (page_load(b, page, mem, e) < 0) {
			free(mem);
			return NULL;
		}
		p->mem = mem;
		b->mem_nr++;
	}
	return p->mem;
}

int bits_set(struct bits *b, uint64_t first, uint64_t end, struct err *e)
{
	uint8_t *bytes;

	for (uint64_t to; first < end; first = to) {
		uint64_t page = first >> page_shift(b), start = page_first(b, page);

		to = MIN(end, page_end(b, page));
		if (!b->pages[page].mem && b->pages[page].stored == BITS_ONES)
			continue;
		if (first == start && to == page_end(b, page) && page_is_whole(b, page)) {
			page_become(b, page, BITS_ONES);
			continue;
		}
		if (!(bytes = page_edit(b, page, e)))
			return -1;
		bytes_set(bytes, first - start, to - start);
	}
	return 0;
}

int bits_fill(struct bits *b, bool one, struct err *e)
{
	for (uint64_t i = 0; i < b->page_nr; i++)
		page_become(b, i, BITS_ZEROS);
	return one ? bits_set(b, 0, b->nr, e) : 0;
}

/* The first bit from `at` to end-1 that is `one`; `end` if there is none. */
static uint64_t bytes_find(const uint8_t *bytes, uint64_t at, uint64_t end, bool one)
{
	uint8_t skip = one ? 0 : 0xff;

	while (at < end) {
		uint8_t byte = bytes[at / 8] ^ skip;

		byte &= (uint8_t)(0xff << at % 8);
		if (byte)
			return MIN(end, at / 8 * 8 + (unsigned)__builtin_ctz(byte));
		at = (at / 8 + 1) * 8;
		while (end - MIN(at, end) >= 64 && bytes[at / 8] == skip &&
		       memcmp(bytes + at / 8, bytes + at / 8 + 1, 7) == 0)
			at += 64;
	}
	return end;
}

static int find(struct bits *b, uint64_t from, bool one, uint64_t *at, struct err *e)
{
	for (*at = from; *at < b->nr;) {
		uint64_t page = *at >> page_shift(b), start = page_first(b, page), kind;
		uint64_t end = page_end(b, page);
		const uint8_t *bytes;

		if (bits_page_get(b, page, &kind, &bytes, e) < 0)
			return -1;
		if (kind == (one ? BITS_ONES : BITS_ZEROS))
			return 0;
		if (kind == BITS_ONES || kind == BITS_ZEROS)
			*at = end;
		else
			*at = start + bytes_find(bytes, *at - start, end - start, one);
		if (*at < end)
			return 0;
	}
	return 0;
}

int bits_next(struct bits *b, uint64_t from, uint64_t *first, uint64_t *end, struct err *e)
{
	return find(b, from, true, first, e) < 0 ? -1 : find(b, *first, false, end, e);
}

/* Sets those of the bits first .. end-1, all in one page, that are set in `bytes`, which begin with
 * bit `first`, a multiple of 8. */
static int page_or(struct bits *b, uint64_t first, uint64_t end, const uint8_t *bytes,
		   struct err *e)
{
	uint64_t page = first >> page_shift(b), n = end - first;
	uint8_t *into;

	if ((!b->pages[page].mem && b->pages[page].stored == BITS_ONES) ||
	    bytes_find(bytes, 0, n, true) == n)
		return 0;
	if (!(into = page_edit(b, page, e)))
		return -1;
	into += (first - page_first(b, page)) / 8;
	for (uint64_t i = 0; i < n / 8; i++)
		into[i] |= bytes[i];
	if (n % 8)
		into[n / 8] |= bytes[n / 8] & (uint8_t)((1 << n % 8) - 1);
	return 0;
}

int bits_or(struct bits *b, struct bits *from, struct err *e)
{
	for (uint64_t page = 0; page < from->page_nr; page++) {
		uint64_t first = page_first(from, page), end = page_end(from, page), kind;
		const uint8_t *bytes;

		if (bits_page_get(from, page, &kind, &bytes, e) < 0)
			return -1;
		if (kind == BITS_ONES && bits_set(b, first, end, e) < 0)
			return -1;
		if (kind == BITS_ZEROS || kind == BITS_ONES)
			continue;
		/* The pages of the two may differ in length; all begin with whole bytes. */
		for (uint64_t at = first, to; at < end; at = to) {
			to = MIN(end, page_end(b, at >> page_shift(b)));
			if (page_or(b, at, to, bytes + (at - first) / 8, e) < 0)
				return -1;
		}
	}
	return 0;
}
