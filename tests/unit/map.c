#include "check.h"
#include "meta/map.h"

/* One L1 entry at 512, clusters of 512 bytes: an L2 table maps 32 KiB. */
static struct map map_of(const struct geom *g, struct file *f, uint64_t l1_entry, struct err *e)
{
	uint8_t bytes[8];

	be64_put(bytes, l1_entry);
	CHECK(file_write_at(f, 512, bytes, sizeof bytes, e) == 0);
	return (struct map){ .geom = g, .cache = table_cache_new(f, 9, e), .l1_off = 512, .l1_nr = 1 };
}

static struct geom geom_small(void)
{
	struct geom g = { .version = 3, .cluster_bits = 9, .refcount_order = 4,
			  .disk_size = UINT64_C(1) << 62 };

	geom_derive(&g);
	return g;
}

/* A snapshot may say that its disk is of any length, whatever its table covers. */
static void behind_the_table_all_is_one_run(void)
{
	struct err e = ERR_INIT;
	struct geom g = geom_small();
	struct file *f = file_mem_new(NULL, 0, &e);
	struct map m = map_of(&g, f, 0, &e);
	uint64_t most = (UINT64_C(1) << 62) - 65536;
	struct map_run r;

	CHECK(map_next(&m, 0, most, &r, &e) == 0 && r.kind == CLUSTER_ABSENT && r.len == 32768);
	CHECK(map_next(&m, 65536, most, &r, &e) == 0 && r.kind == CLUSTER_ABSENT && r.len == most);
	table_cache_free(m.cache);
	file_drop(f);
}

static void a_table_behind_the_end_of_the_file_is_lost(void)
{
	struct err e = ERR_INIT, l1 = ERR_INIT, part = ERR_INIT;
	struct geom g = geom_small();
	struct file *f = file_mem_new(NULL, 0, &e);
	struct map m = map_of(&g, f, ENTRY_COPIED | 4096, &e);
	struct map_run r;

	CHECK(map_next(&m, 0, 512, &r, &e) < 0 && e.code == ERR_CORRUPT);
	m.l1_off = 1024;
	CHECK(map_next(&m, 0, 512, &r, &l1) < 0 && l1.code == ERR_CORRUPT);
	/* of a table of two slices the file holds the first */
	m.l1_off = 0;
	m.l1_nr = 128;
	CHECK(map_next(&m, 64 * UINT64_C(32768), 512, &r, &part) < 0 && part.code == ERR_CORRUPT);
	table_cache_free(m.cache);
	file_drop(f);
}

/* Who salvages goes on behind what is lost: neither more nor less than that. */
static void a_failure_says_what_it_covers(void)
{
	struct err e = ERR_INIT, l1 = ERR_INIT, part = ERR_INIT, off = ERR_INIT, bad = ERR_INIT;
	struct geom g = geom_small();
	struct file *f = file_mem_new(NULL, 0, &e);
	struct map m = map_of(&g, f, ENTRY_COPIED | 4096, &e);
	uint64_t most = UINT64_C(1) << 40;
	uint8_t table[512] = { 0 };
	struct map_run r;

	CHECK(map_next(&m, 1000, most, &r, &e) < 0 && r.len == 32768 - 1000);
	m.l1_off = 1024;
	m.l1_nr = 100;
	CHECK(map_next(&m, 40000, most, &r, &l1) < 0 && r.len == 100 * 32768 - 40000);
	CHECK(map_next(&m, 40000, 4096, &r, &part) < 0 && r.len == 4096);
	m.l1_off = 512;

	/* entries 3 to 5 are at odd places, 6 is sound */
	for (unsigned i = 3; i < 6; i++)
		be64_put(table + 8 * i, ENTRY_COMPRESSED | UINT64_C(1) << 56);
	e = (struct err)ERR_INIT;
	CHECK(file_write_at(f, 4096, table, sizeof table, &e) == 0);
	CHECK(map_next(&m, 3 * 512 + 100, most, &r, &off) < 0 && r.len == 3 * 512 - 100);
	CHECK(map_next(&m, 4 * 512, 700, &r, &bad) < 0 && r.len == 700);
	CHECK(map_next(&m, 0, most, &r, &e) == 0 && r.len == 3 * 512);
	CHECK(map_next(&m, 6 * 512, most, &r, &e) == 0 && r.len == 58 * 512);
	table_cache_free(m.cache);
	file_drop(f);
}

int main(void)
{
	RUN(behind_the_table_all_is_one_run);
	RUN(a_table_behind_the_end_of_the_file_is_lost);
	RUN(a_failure_says_what_it_covers);
	return DONE();
}
