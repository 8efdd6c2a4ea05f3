/* Refcounts of an image in memory: every width, and how they grow. */
#include "check.h"

#include <string.h>

#include "meta/refcounts.h"

struct bench {
	struct file *file;
	struct geom geom;
	struct header header;
	struct refcounts counts;
	struct err e;
};

/* 512-byte clusters: table in cluster 1, block 0 in cluster 2. */
static void bench_init(struct bench *b, unsigned order)
{
	uint8_t entry[8];

	*b = (struct bench){ .e = ERR_INIT };
	b->geom = (struct geom){ .version = 3, .cluster_bits = 9, .refcount_order = (uint8_t)order };
	geom_derive(&b->geom);
	b->header = (struct header){ .refcount_table_off = 512, .refcount_table_clusters = 1 };
	b->file = file_mem_new(NULL, 0, &b->e);
	be64_put(entry, 1024);
	CHECK(file_truncate(b->file, 1536, &b->e) == 0);
	CHECK(file_write_at(b->file, 512, entry, sizeof entry, &b->e) == 0);
	CHECK(refcounts_open(&b->counts, b->file, &b->geom, &b->header, &b->e) == 0);
	CHECK(refcounts_raise(&b->counts, 0, 3, 1, &b->e) == 0);
}

static void bench_fini(struct bench *b)
{
	refcounts_close(&b->counts);
	file_drop(b->file);
}

static uint64_t count(struct bench *b, uint64_t cluster)
{
	uint64_t n = 99;

	CHECK(refcounts_get(&b->counts, cluster, &n, &b->e) == 0);
	return n;
}

static void counts_rise_and_fall_within_their_width(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		struct bench b;
		struct err high = ERR_INIT, low = ERR_INIT;

		bench_init(&b, order);
		uint64_t most = geom_refcount_max(&b.geom);

		CHECK(count(&b, 0) == 1 && count(&b, 2) == 1 && count(&b, 3) == 0);
		CHECK(refcounts_raise(&b.counts, 3, 1, most, &b.e) == 0 && count(&b, 3) == most);
		/* Of several counts none changes if one cannot. */
		CHECK(refcounts_raise(&b.counts, 2, 2, 1, &high) < 0 && high.code == ERR_INVALID);
		CHECK(strstr(high.text, "refcount_bits") && count(&b, 2) == 1);
		CHECK(refcounts_lower(&b.counts, 3, 2, 1, &low) < 0 && low.code == ERR_CORRUPT);
		CHECK(count(&b, 3) == most);
		CHECK(refcounts_lower(&b.counts, 3, 1, most, &b.e) == 0 && count(&b, 3) == 0);
		CHECK(count(&b, 2) == 1 && count(&b, 4) == 0);
		bench_fini(&b);
	}
}

static void counts_survive_being_stored(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		struct bench b;
		struct refcounts again;
		uint64_t n;

		bench_init(&b, order);
		for (uint64_t i = 3; i < 60; i++)
			CHECK(i % 3 || refcounts_raise(&b.counts, i, 1, 1, &b.e) == 0);
		CHECK(refcounts_store(&b.counts, &b.e) == 0);
		CHECK(refcounts_open(&again, b.file, &b.geom, &b.header, &b.e) == 0);
		for (uint64_t i = 3; i < 60; i++)
			CHECK(refcounts_get(&again, i, &n, &b.e) == 0 && n == (i % 3 == 0));
		refcounts_close(&again);
		bench_fini(&b);
	}
}

static void free_clusters_are_found(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		struct bench b;
		uint64_t first, nr, range;

		bench_init(&b, order);
		range = UINT64_C(1) << geom_refcount_block_bits(&b.geom);
		CHECK(refcounts_raise(&b.counts, 5, 1, 1, &b.e) == 0);
		CHECK(refcounts_find_free(&b.counts, 0, 10, &first, &nr, &b.e) == 0);
		CHECK(first == 3 && nr == 2);
		CHECK(refcounts_find_free(&b.counts, 5, 10, &first, &nr, &b.e) == 0);
		CHECK(first == 6 && nr == 10);
		/* a run ends with its range; ranges without a block are free */
		CHECK(refcounts_find_free(&b.counts, range - 1, 10, &first, &nr, &b.e) == 0);
		CHECK(first == range - 1 && nr == 1);
		CHECK(refcounts_find_free(&b.counts, range, 10, &first, &nr, &b.e) == 0);
		CHECK(first == range && nr == 10);
		CHECK(refcounts_find_free(&b.counts, refcounts_capacity(&b.counts), 1, &first, &nr,
					  &b.e) == 0 && nr == 0);
		bench_fini(&b);
	}
}

static void a_block_counts_itself_and_is_named_last(void)
{
	struct bench b;
	uint8_t entry[8];
	uint64_t range;

	bench_init(&b, 4);
	range = UINT64_C(1) << geom_refcount_block_bits(&b.geom);
	CHECK(!refcounts_has_made(&b.counts));
	CHECK(refcounts_add_blocks(&b.counts, 1, range, 1, &b.e) == 0);
	CHECK(refcounts_has_made(&b.counts) && count(&b, range) == 1);
	CHECK(refcounts_raise(&b.counts, range + 1, 1, 1, &b.e) == 0);
	CHECK(refcounts_store_made(&b.counts, &b.e) == 0);
	CHECK(file_read_at(b.file, 520, entry, sizeof entry, &b.e) == 0 && be64_get(entry) == 0);
	CHECK(refcounts_store(&b.counts, &b.e) == 0);
	CHECK(file_read_at(b.file, 520, entry, sizeof entry, &b.e) == 0);
	CHECK(be64_get(entry) == range << 9 && !refcounts_has_made(&b.counts));
	bench_fini(&b);
}

static void a_longer_table_counts_what_it_takes(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		struct bench b;
		struct refcount_growth g;
		struct refcounts again;
		uint64_t old, n, end;

		bench_init(&b, order);
		old = refcounts_capacity(&b.counts);
		CHECK(refcounts_store(&b.counts, &b.e) == 0);
		CHECK(refcounts_plan(&b.counts, &g, &b.e) == 0 &&
		      refcounts_grow(&b.counts, &g, &b.e) == 0);
		end = (g.table_off >> 9) + g.table_clusters;
		b.header.refcount_table_off = g.table_off;
		b.header.refcount_table_clusters = g.table_clusters;
		refcounts_adopt(&b.counts, &g);
		CHECK(refcounts_capacity(&b.counts) > old);
		CHECK(refcounts_open(&again, b.file, &b.geom, &b.header, &b.e) == 0);
		for (uint64_t i = old; i <= end; i++)
			CHECK(refcounts_get(&again, i, &n, &b.e) == 0 && n == (i < end));
		CHECK(refcounts_get(&again, 2, &n, &b.e) == 0 && n == 1);
		refcounts_close(&again);
		bench_fini(&b);
	}
}

static void tables_that_cannot_be_used_are_refused(void)
{
	static const uint64_t entries[] = { 1024 | 1, 1025 << 9 | 256, UINT64_C(1) << 62, 0x700 };
	struct bench b;
	uint8_t entry[8];

	bench_init(&b, 4);
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
		struct refcounts r;
		struct err e = ERR_INIT;

		be64_put(entry, entries[i]);
		CHECK(file_write_at(b.file, 520, entry, sizeof entry, &b.e) == 0);
		CHECK(refcounts_open(&r, b.file, &b.geom, &b.header, &e) < 0);
		CHECK(e.code == ERR_CORRUPT && strstr(e.text, "refcount block 1"));
		refcounts_close(&r);
	}
	bench_fini(&b);
}

int main(void)
{
	RUN(counts_rise_and_fall_within_their_width);
	RUN(counts_survive_being_stored);
	RUN(free_clusters_are_found);
	RUN(a_block_counts_itself_and_is_named_last);
	RUN(a_longer_table_counts_what_it_takes);
	RUN(tables_that_cannot_be_used_are_refused);
	return DONE();
}
