#include "meta/counts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/align.h"

#define HUGE_PAGE (UINT64_C(2) << 20)

/* A large array is filled from end to end if the file is full: in small pages, the page
 * faults would cost more than the counting. Advice only. */
static void expect_filling(void *p, uint64_t n)
{
#ifdef MADV_HUGEPAGE
	uintptr_t start = align_up((uintptr_t)p, HUGE_PAGE);
	uintptr_t end = align_down((uintptr_t)p + n, HUGE_PAGE);

	if (start < end)
		madvise((void *)start, end - start, MADV_HUGEPAGE);
#endif
}

int counts_init(struct counts *c, uint64_t nr, struct err *e)
{
	*c = (struct counts) { .nr = nr };
	uint64_t pages = counts_pages(c);

	if (nr > SIZE_MAX / 2)
		return err_nomem(e);
	c->low = calloc(MAX(nr, 1), 1);
	c->big = calloc(MAX(pages, 1), sizeof *c->big);
	c->touched = calloc(MAX(pages, 1), 1);
	if (!c->low || !c->big || !c->touched)
		return err_nomem(e);
	expect_filling(c->low, nr);
	return 0;
}

void counts_fini(struct counts *c)
{
	for (uint64_t page = 0; c->big && page < counts_pages(c); page++)
		free(c->big[page]);
	free(c->big);
	free(c->low);
	free(c->touched);
	*c = (struct counts) { 0 };
}

void counts_touch(struct counts *c, uint64_t first, uint64_t nr)
{
	uint64_t page = first >> COUNTS_PAGE_BITS;
	uint64_t last = (first + nr - 1) >> COUNTS_PAGE_BITS;

	memset(c->touched + page, 1, last - page + 1);
}

uint64_t counts_get(const struct counts *c, uint64_t idx)
{
	if (idx >= c->nr)
		return 0;
	if (c->low[idx] != COUNTS_BIG)
		return c->low[idx];
	const uint32_t *page = c->big[idx >> COUNTS_PAGE_BITS];

	return page ? page[idx & (COUNTS_PAGE - 1)] : COUNTS_BIG;
}

static int add_one(struct counts *c, uint64_t idx, uint64_t times, struct err *e)
{
	uint64_t had = counts_get(c, idx);
	uint64_t sum = had + MIN(times, COUNTS_MAX);

	if (sum < COUNTS_BIG) {
		c->low[idx] = (uint8_t)sum;
		return 0;
	}
	uint32_t **page = &c->big[idx >> COUNTS_PAGE_BITS];

	if (!*page)
		*page = calloc(COUNTS_PAGE, sizeof **page);
	if (!*page)
		return err_nomem(e);
	(*page)[idx & (COUNTS_PAGE - 1)] = (uint32_t)MIN(sum, COUNTS_MAX);
	c->low[idx] = COUNTS_BIG;
	return 0;
}

/* Adds without looking for overflow; the result has bit 7 set if a count was 128 or more.
 */
static uint8_t add_bytes(uint8_t *low, uint64_t nr, uint8_t times)
{
	uint8_t seen = 0;

	for (uint64_t i = 0; i < nr; i++) {
		seen |= low[i];
		low[i] = (uint8_t)(low[i] + times);
	}
	return seen;
}

int counts_add(struct counts *c, uint64_t first, uint64_t nr, uint64_t times, struct err *e)
{
	if (first >= c->nr || nr == 0)
		return 0;
	nr = MIN(nr, c->nr - first);
	counts_touch(c, first, nr);

	/* 127 + 127 still fits below COUNTS_BIG, so small counts need no look at each sum.
	 */
	if (times < 128) {
		if (!(add_bytes(c->low + first, nr, (uint8_t)times) & 128))
			return 0;
		add_bytes(c->low + first, nr, (uint8_t)(0 - times));
	}
	for (uint64_t i = 0; i < nr; i++)
		if (add_one(c, first + i, times, e) < 0)
			return -1;
	return 0;
}

void counts_take(struct counts *c, uint64_t first, uint64_t nr, uint64_t times)
{
	for (uint64_t i = first; i < c->nr && i - first < nr; i++) {
		uint64_t had = counts_get(c, i), left = had - MIN(times, had);
		uint32_t *page = c->big[i >> COUNTS_PAGE_BITS];

		if (left < COUNTS_BIG)
			c->low[i] = (uint8_t)left;
		else if (page && had < UINT32_MAX)
			page[i & (COUNTS_PAGE - 1)] = (uint32_t)left;
	}
}

void counts_cancel(struct counts *a, struct counts *b)
{
	for (uint64_t page = 0; page < counts_pages(a); page++) {
		uint64_t first = page << COUNTS_PAGE_BITS, nr = MIN(a->nr - first, COUNTS_PAGE);
		uint8_t *x = a->low + first, *y = b->low + first;

		if (!a->touched[page] || !b->touched[page])
			continue;
		for (uint64_t i = 0; i < nr; i++) {
			uint8_t common = MIN(x[i], y[i]);

			common &= (uint8_t)-(x[i] != COUNTS_BIG && y[i] != COUNTS_BIG);
			x[i] = (uint8_t)(x[i] - common);
			y[i] = (uint8_t)(y[i] - common);
		}
	}
}
