/* Edits of cached tables: who sees them when, and when the file does. */
#include "check.h"

#include <string.h>

#include "meta/table_cache.h"

struct bench {
	struct file *file;
	struct table_cache *cache;
	struct err e;
};

static struct bench bench_new(unsigned cluster_bits, size_t len)
{
	struct bench b = { .e = ERR_INIT };

	b.file = file_mem_new(NULL, 0, &b.e);
	CHECK(file_truncate(b.file, len, &b.e) == 0);
	b.cache = table_cache_new(b.file, cluster_bits, &b.e);
	return b;
}

static void bench_free(struct bench *b)
{
	table_cache_free(b->cache);
	file_drop(b->file);
}

static uint8_t in_file(struct bench *b, uint64_t off)
{
	uint8_t byte = 0xff;

	CHECK(file_read_padded(b->file, off, &byte, 1, NULL, &b->e) == 0);
	return byte;
}

static uint8_t in_cache(struct bench *b, uint64_t off, unsigned bits)
{
	const struct table_slice *s;
	uint64_t size = UINT64_C(1) << bits;

	CHECK(table_cache_get(b->cache, off & ~(size - 1), &s, &b->e) == 0);
	uint8_t byte = s->bytes[off & (size - 1)];

	table_cache_put(b->cache, s);
	return byte;
}

static void an_edit_is_seen_at_once_and_stored_when_asked(void)
{
	struct bench b = bench_new(9, 4096);

	CHECK(table_cache_edit(b.cache, 1000, "\1\2\3", 3, &b.e) == 0);
	CHECK(in_cache(&b, 1001, 9) == 2 && in_file(&b, 1001) == 0);
	CHECK(table_cache_waiting(b.cache) == 1);
	CHECK(table_cache_store(b.cache, TABLE_STORE_MADE, &b.e) == 0);
	CHECK(in_file(&b, 1001) == 0); /* it was not made, only changed */
	CHECK(table_cache_store(b.cache, TABLE_STORE_ALL, &b.e) == 0);
	CHECK(in_file(&b, 1000) == 1 && in_file(&b, 1001) == 2 && in_file(&b, 1002) == 3);
	CHECK(table_cache_waiting(b.cache) == 0);
	bench_free(&b);
}

static void an_edit_may_lie_across_slices(void)
{
	struct bench b = bench_new(9, 4096);

	CHECK(table_cache_edit(b.cache, 510, "\1\2\3\4", 4, &b.e) == 0);
	CHECK(table_cache_waiting(b.cache) == 2);
	CHECK(table_cache_store(b.cache, TABLE_STORE_ALL, &b.e) == 0);
	CHECK(in_file(&b, 511) == 2 && in_file(&b, 512) == 3);
	bench_free(&b);
}

static void who_holds_a_slice_keeps_it(void)
{
	struct bench b = bench_new(9, 4096);
	const struct table_slice *old, *new;

	CHECK(table_cache_get(b.cache, 512, &old, &b.e) == 0);
	CHECK(table_cache_edit(b.cache, 512, "\7", 1, &b.e) == 0);
	CHECK(table_cache_get(b.cache, 512, &new, &b.e) == 0);
	CHECK(old->bytes[0] == 0 && new->bytes[0] == 7);
	CHECK(table_cache_edit(b.cache, 512, "\10", 1, &b.e) == 0);
	CHECK(old->bytes[0] == 0 && new->bytes[0] == 7 && in_cache(&b, 512, 9) == 8);
	table_cache_put(b.cache, old);
	table_cache_put(b.cache, new);
	CHECK(table_cache_store(b.cache, TABLE_STORE_ALL, &b.e) == 0);
	CHECK(in_file(&b, 512) == 8);
	bench_free(&b);
}

static void what_was_made_is_zero_whatever_the_file_holds(void)
{
	struct bench b = bench_new(17, 1 << 18);
	uint8_t noise[512];

	memset(noise, 0xee, sizeof noise);
	CHECK(file_write_at(b.file, 131072 + 70000, noise, sizeof noise, &b.e) == 0);
	CHECK(in_cache(&b, 131072 + 70000, 16) == 0xee);
	CHECK(table_cache_make(b.cache, 131072, 131072, &b.e) == 0);
	CHECK(in_cache(&b, 131072 + 70000, 16) == 0);
	CHECK(table_cache_edit(b.cache, 131072, "\1", 1, &b.e) == 0);
	CHECK(table_cache_edit(b.cache, 0, "\2", 1, &b.e) == 0);
	CHECK(table_cache_store(b.cache, TABLE_STORE_MADE, &b.e) == 0);
	CHECK(in_file(&b, 131072) == 1 && in_file(&b, 131072 + 70000) == 0 && in_file(&b, 0) == 0);
	CHECK(table_cache_waiting(b.cache) == 1);
	/* From now on it is a table like any other. */
	CHECK(table_cache_edit(b.cache, 131072, "\3", 1, &b.e) == 0);
	CHECK(table_cache_store(b.cache, TABLE_STORE_MADE, &b.e) == 0);
	CHECK(in_file(&b, 131072) == 1);
	bench_free(&b);
}

static void a_made_table_is_there_before_the_file_is_so_long(void)
{
	struct bench b = bench_new(9, 512);

	CHECK(!table_cache_reaches(b.cache, 2048));
	CHECK(table_cache_make(b.cache, 2048, 512, &b.e) == 0);
	CHECK(table_cache_reaches(b.cache, 2048));
	bench_free(&b);
}

static void many_edits_wait_and_none_is_lost(void)
{
	enum { TABLES = 1000 };
	struct bench b = bench_new(9, TABLES * 512);

	for (unsigned i = 0; i < TABLES; i++) {
		uint8_t byte = (uint8_t)(i * 7);

		CHECK(table_cache_edit(b.cache, (i * 37 % TABLES) * UINT64_C(512) + i % 512, &byte, 1,
				       &b.e) == 0);
	}
	CHECK(table_cache_waiting(b.cache) == TABLES);
	CHECK(table_cache_store(b.cache, TABLE_STORE_ALL, &b.e) == 0);
	for (unsigned i = 0; i < TABLES; i++)
		CHECK(in_file(&b, (i * 37 % TABLES) * UINT64_C(512) + i % 512) == (uint8_t)(i * 7));
	bench_free(&b);
}

static void reverting_brings_the_file_back(void)
{
	struct bench b = bench_new(9, 4096);

	CHECK(table_cache_edit(b.cache, 0, "\1", 1, &b.e) == 0);
	CHECK(table_cache_make(b.cache, 8192, 512, &b.e) == 0);
	table_cache_revert(b.cache);
	CHECK(in_cache(&b, 0, 9) == 0 && !table_cache_reaches(b.cache, 8192));
	CHECK(table_cache_waiting(b.cache) == 0);
	bench_free(&b);
}

static void what_is_forgotten_is_read_again(void)
{
	struct bench b = bench_new(9, 4096);

	CHECK(in_cache(&b, 512, 9) == 0);
	CHECK(file_write_at(b.file, 512, "\5", 1, &b.e) == 0);
	CHECK(in_cache(&b, 512, 9) == 0);
	table_cache_forget(b.cache, 512, 512);
	CHECK(in_cache(&b, 512, 9) == 5);
	bench_free(&b);
}

int main(void)
{
	RUN(an_edit_is_seen_at_once_and_stored_when_asked);
	RUN(an_edit_may_lie_across_slices);
	RUN(who_holds_a_slice_keeps_it);
	RUN(what_was_made_is_zero_whatever_the_file_holds);
	RUN(a_made_table_is_there_before_the_file_is_so_long);
	RUN(many_edits_wait_and_none_is_lost);
	RUN(reverting_brings_the_file_back);
	RUN(what_is_forgotten_is_read_again);
	return DONE();
}
