/* meta/l2_run.h against one look at each entry. */
#include "meta/l2_run.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static uint64_t seed = 1;

static uint64_t next(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 33) % below;
}

static const struct geom *geom_of(unsigned variant)
{
	static struct geom g;

	g = (struct geom){ .version = variant == 1 ? 2 : 3, .cluster_bits = 12,
			   .refcount_order = 4, .disk_size = 1 << 30 };
	if (variant == 2) {
		g.subclusters = true;
		g.cluster_bits = 14;
	}
	g.data_file = variant == 3;
	geom_derive(&g);
	return &g;
}

/* What the runs of a table must cover, and nothing else. */
static bool is_empty(const struct geom *g, const struct l2_entry *x)
{
	return !x->packed && !x->has_host && !l2_entry_problems(g, x);
}

static bool is_plain(const struct geom *g, const struct l2_entry *x)
{
	return !x->packed && x->has_host && !l2_entry_problems(g, x);
}

/* Random entries, made of what tends to go wrong, in stretches that tend to be runs. */
static void fill(const struct geom *g, uint8_t *table)
{
	uint64_t size = geom_cluster_size(g), host = size * (1 + next(1000));
	uint64_t flags = ENTRY_COPIED;

	for (uint32_t i = 0; i < geom_l2_entries(g); i++, host += size) {
		uint64_t raw = host | flags, bitmap = 0;

		switch (next(40)) {
		case 0: host = size * (1 + next(1000)); break;
		case 1: flags ^= ENTRY_COPIED; break;
		case 2: raw |= ENTRY_COMPRESSED; break;
		case 3: raw |= ENTRY_ZERO; break;
		case 4: raw |= UINT64_C(1) << next(64); break;
		case 5: raw &= ENTRY_COPIED; break;
		case 6: bitmap = next(UINT32_MAX); break;
		case 7: bitmap = L2_ALL_ZERO; raw &= next(2) ? 0 : ~UINT64_C(0); break;
		case 8: host = HOST_OFFSET_MAX + 1 - 2 * size; break;
		case 9: bitmap = UINT64_MAX; break;
		default: break;
		}
		if (next(30) == 0)
			for (uint32_t k = (uint32_t)next(40); k && i + 1 < geom_l2_entries(g); k--)
				l2_entry_store(g, table, i++, 0, 0);
		l2_entry_store(g, table, i, raw, bitmap);
	}
}

/* One run against its entries; nothing before it may have been passed over wrongly. */
static bool run_holds(const struct geom *g, const uint8_t *table, uint32_t from,
		      const struct l2_run *r)
{
	uint64_t size = geom_cluster_size(g);
	bool good = r->idx >= from && r->nr > 0 && r->idx + r->nr <= geom_l2_entries(g);

	for (uint32_t i = from; good && i < r->idx; i++) {
		struct l2_entry x = l2_entry_at(g, table, i);
		good = is_empty(g, &x);
	}
	struct l2_entry first = l2_entry_at(g, table, r->idx);
	if (r->kind == L2_RUN_ODD)
		return good && r->nr == 1 && !is_plain(g, &first) && !is_empty(g, &first);
	for (uint32_t i = 0; good && i < r->nr; i++) {
		struct l2_entry x = l2_entry_at(g, table, r->idx + i);
		good = is_plain(g, &x) && x.host == r->host + i * size && x.copied == r->copied;
	}
	return good && r->host + r->nr * size <= HOST_OFFSET_MAX + 1;
}

/* Runs are as long as can be. */
static bool run_is_longest(const struct geom *g, const uint8_t *table, const struct l2_run *r)
{
	uint32_t end = r->idx + r->nr;

	if (r->kind == L2_RUN_ODD || end == geom_l2_entries(g))
		return true;
	struct l2_entry x = l2_entry_at(g, table, end);
	return !is_plain(g, &x) || x.copied != r->copied ||
	       x.host != r->host + r->nr * geom_cluster_size(g);
}

static void runs_cover_every_entry_that_means_something(void)
{
	uint8_t *table = malloc(1 << 14);

	for (unsigned round = 0; round < 400; round++) {
		const struct geom *g = geom_of(round % 4);
		struct l2_scan s = l2_scan_init(g);
		uint32_t from = 0;
		struct l2_run r;

		fill(g, table);
		while (l2_run_next(&s, table, from, &r)) {
			CHECK(run_holds(g, table, from, &r));
			CHECK(run_is_longest(g, table, &r));
			from = r.idx + r.nr;
		}
		for (; from < geom_l2_entries(g); from++) {
			struct l2_entry x = l2_entry_at(g, table, from);
			CHECK(is_empty(g, &x));
		}
	}
	free(table);
}

static void a_full_table_is_one_run(void)
{
	const struct geom *g = geom_of(0);
	struct l2_scan s = l2_scan_init(g);
	uint8_t table[1 << 12];
	struct l2_run r;

	for (uint32_t i = 0; i < 512; i++)
		l2_entry_store(g, table, i, ENTRY_COPIED | ((uint64_t)i + 9) << 12, 0);
	CHECK(l2_run_next(&s, table, 0, &r) && r.idx == 0 && r.nr == 512 && r.copied &&
	      r.host == 9 << 12);
	CHECK(!l2_run_next(&s, table, 512, &r));
	memset(table, 0, sizeof table);
	CHECK(!l2_run_next(&s, table, 0, &r));
}

int main(void)
{
	RUN(a_full_table_is_one_run);
	RUN(runs_cover_every_entry_that_means_something);
	return DONE();
}
