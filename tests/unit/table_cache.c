#include "check.h"

#include "io/file.h"
#include "meta/table_cache.h"

#define SLICES 100

static struct file *numbered_file(struct err *e)
{
	struct file *f = file_mem_new(NULL, 0, e);
	uint8_t block[512] = { 0 };

	for (unsigned i = 0; i < SLICES; i++) {
		block[0] = (uint8_t)i;
		if (file_write_at(f, i * 512, block, sizeof block, e) < 0)
			return NULL;
	}
	return f;
}

static void slices_are_what_the_file_holds(void)
{
	struct err e = ERR_INIT;
	struct file *f = numbered_file(&e);
	struct table_cache *c = table_cache_new(f, 9, &e);
	const struct table_slice *s;

	CHECK(table_cache_slice_bits(c) == 9);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < SLICES; i++) {
			unsigned at = i * 37 % SLICES;

			CHECK(table_cache_get(c, at * 512, &s, &e) == 0 && s->bytes[0] == at &&
			      s->off == at * 512);
			table_cache_put(c, s);
		}
	CHECK(table_cache_get(c, SLICES * 512, &s, &e) == 0 && s->bytes[0] == 0); /* past the end */
	table_cache_put(c, s);
	table_cache_free(c);
	file_drop(f);
}

/* More users than slots: each still sees its own slice, and nothing is lost. */
static void a_slice_in_use_stays(void)
{
	struct err e = ERR_INIT;
	struct file *f = numbered_file(&e);
	struct table_cache *c = table_cache_new(f, 9, &e);
	const struct table_slice *s[SLICES];

	for (unsigned i = 0; i < SLICES; i++)
		CHECK(table_cache_get(c, i * 512, &s[i], &e) == 0);
	for (unsigned i = 0; i < SLICES; i++)
		CHECK(s[i]->bytes[0] == i);
	for (unsigned i = 0; i < SLICES; i++)
		table_cache_put(c, s[i]);
	table_cache_free(c);
	file_drop(f);
}

static void large_clusters_are_cut(void)
{
	struct err e = ERR_INIT;
	struct file *f = numbered_file(&e);
	struct table_cache *c = table_cache_new(f, 21, &e);

	CHECK(table_cache_slice_bits(c) == 16);
	table_cache_free(c);
	file_drop(f);
}

int main(void)
{
	RUN(slices_are_what_the_file_holds);
	RUN(a_slice_in_use_stays);
	RUN(large_clusters_are_cut);
	return DONE();
}
