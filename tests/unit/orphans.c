/* Lost L2 tables in images made byte by byte: found all, and never put in a wrong place with
 * confidence. */
#include "ops/orphans.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "check.h"
#include "image/image.h"
#include "ops/check.h"

#define CLUSTER	 512
#define SLOTS	 64 /* L1 entries, each for 64 clusters */
#define CLUSTERS 4096

static uint64_t seed = 1;

static unsigned below(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)((seed >> 33) % n);
}

/* Header, refcount table, blocks of 256 counts, an L1 table; the rest is given out in order. */
struct made {
	uint8_t *bytes;
	unsigned next; /* free cluster */
};
#define BLOCKS	 (CLUSTERS / 256)
#define TABLE_AT 1
#define BLOCK_AT 2
#define L1_AT	 (BLOCK_AT + BLOCKS)

static uint8_t *at(const struct made *m, unsigned cluster)
{
	return m->bytes + (size_t)cluster * CLUSTER;
}

static uint8_t *slot(const struct made *m, unsigned idx)
{
	return at(m, L1_AT) + 8 * idx;
}

static unsigned take(struct made *m)
{
	unsigned cluster = m->next++;

	CHECK(cluster < CLUSTERS);
	at(m, BLOCK_AT)[2 * cluster + 1] = 1;
	return cluster;
}

static struct made made_new(void)
{
	struct made m = { .bytes = calloc(CLUSTERS, CLUSTER) };
	uint8_t *h = m.bytes;

	memcpy(h, "QFI\xfb\0\0\0\2", 8);
	h[23] = 9;
	be64_put(h + 24, (uint64_t)SLOTS * 64 * CLUSTER);
	h[39] = SLOTS;
	be64_put(h + 40, (uint64_t)L1_AT * CLUSTER);
	be64_put(h + 48, (uint64_t)TABLE_AT * CLUSTER);
	h[59] = 1;
	for (unsigned i = 0; i < BLOCKS; i++)
		be64_put(at(&m, TABLE_AT) + 8 * i, (uint64_t)(BLOCK_AT + i) * CLUSTER);
	while (m.next <= L1_AT)
		take(&m);
	return m;
}

#define COPIED (UINT64_C(1) << 63)

/* A table for L1 entry idx, with `nr` clusters. */
static void made_add(struct made *m, unsigned idx, unsigned nr)
{
	unsigned table = take(m);

	be64_put(slot(m, idx), COPIED | (uint64_t)table * CLUSTER);
	for (unsigned i = 0; i < nr; i++) {
		unsigned data = take(m);

		memset(at(m, data), 0xaa, CLUSTER);
		be64_put(at(m, table) + 8 * i, COPIED | (uint64_t)data * CLUSTER);
	}
}

static void look(const struct made *m, struct orphans *o, struct check_result *r)
{
	struct err e = ERR_INIT;
	struct file *f = file_mem_new(m->bytes, (size_t)m->next * CLUSTER, &e);
	struct image *img = image_open(f, NULL, IMAGE_CHECK, NULL, &e);
	struct check_options how = { .orphans = o };

	CHECK(img && check_image(img, &how, r, &e) == 0);
	image_close(img);
}

/* Loses L1 entry idx. Returns the confidence in the right place; 0 if it was not named. */
static unsigned lose(struct made *m, unsigned idx, bool *wrong)
{
	struct orphans o = { 0 };
	struct check_result r;
	uint64_t raw = be64_get(slot(m, idx));
	unsigned confidence = 0;

	be64_put(slot(m, idx), 0);
	look(m, &o, &r);
	be64_put(slot(m, idx), raw);
	CHECK(o.nr == 1 && o.list[0].host == (raw & ~COPIED) && o.list[0].table_score == 100);
	CHECK(o.suspects == r.leaks && r.leaks == o.list[0].used + 1);
	if (o.nr && o.list[0].l1_idx == idx)
		confidence = o.list[0].confidence;
	*wrong = o.nr && o.list[0].l1_idx != idx && o.list[0].confidence >= ORPHAN_CONFIDENCE;
	orphans_fini(&o);
	return confidence;
}

static void nothing_is_lost_in_a_sound_image(void)
{
	struct made m = made_new();
	struct orphans o = { 0 };
	struct check_result r;

	for (unsigned i = 0; i < 10; i++)
		made_add(&m, i, 5);
	look(&m, &o, &r);
	CHECK(!r.leaks && !r.corruptions && !o.nr && !o.suspects && !o.zeroed_nr);
	orphans_fini(&o);
	free(m.bytes);
}

static void in_order_every_table_goes_back(void)
{
	struct made m = made_new();
	bool wrong;

	for (unsigned i = 0; i < SLOTS; i++)
		made_add(&m, i, 1 + below(8));
	for (unsigned i = 0; i < SLOTS; i++) {
		CHECK(lose(&m, i, &wrong) >= ORPHAN_CONFIDENCE);
		CHECK(!wrong);
	}
	free(m.bytes);
}

/* The tables of a disk with holes that was written here and there. */
static void without_order_nothing_is_put_in_a_wrong_place(void)
{
	for (unsigned round = 0; round < 40; round++) {
		struct made m = made_new();
		unsigned order[SLOTS];
		bool wrong;

		for (unsigned i = 0; i < SLOTS; i++)
			order[i] = i;
		for (unsigned i = SLOTS - 1; i; i--) {
			unsigned k = below(i + 1), tmp = order[i];

			order[i] = order[k];
			order[k] = tmp;
		}
		unsigned nr = 8 + below(SLOTS - 8);

		for (unsigned i = 0; i < nr; i++)
			made_add(&m, order[i], 1 + below(8));
		lose(&m, order[below(nr)], &wrong);
		CHECK(!wrong);
		free(m.bytes);
	}
}

static void a_flipped_bit_tells(void)
{
	struct made m = made_new();

	for (unsigned i = 0; i < 4; i++)
		made_add(&m, 10 * i, 3);
	for (unsigned bit = 0; bit < 63; bit++) {
		struct orphans o = { 0 };
		struct check_result r;
		uint64_t raw = be64_get(slot(&m, 20));

		be64_put(slot(&m, 20), raw ^ UINT64_C(1) << bit);
		look(&m, &o, &r);
		/* Reserved bits are passed over; another cluster may be a table by chance. */
		if (r.leaks && !r.kinds[PROBLEM_REFCOUNT_TOO_LOW])
			CHECK(o.nr == 1 && o.list[0].l1_idx == 20 &&
			      o.list[0].confidence >= ORPHAN_CONFIDENCE);
		be64_put(slot(&m, 20), raw);
		orphans_fini(&o);
	}
	free(m.bytes);
}

/* One word that no table holds, and it is none; the flags of an old state, and it is none. */
static void what_is_no_table_is_not_offered(void)
{
	static const uint64_t bad[] = { 1, UINT64_C(1) << 8, UINT64_C(3) << 56, COPIED,
					COPIED | 0x100, 512 * 3, 512 * L1_AT, UINT64_C(1) << 40,
					UINT64_C(1) << 62 | UINT64_C(1) << 40, UINT64_MAX };
	struct made m = made_new();
	struct check_result r;

	for (unsigned i = 0; i < 6; i++)
		made_add(&m, i, 6);
	uint8_t *table = m.bytes + (be64_get(slot(&m, 3)) & ~COPIED);

	be64_put(slot(&m, 3), 0);
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct orphans o = { 0 };

		be64_put(table + 8 * 40, bad[i]);
		look(&m, &o, &r);
		CHECK(!o.nr && !o.suspects && r.leaks == 7);
		orphans_fini(&o);
	}
	/* The same cluster twice. */
	struct orphans o = { 0 };

	be64_put(table + 8 * 40, be64_get(table));
	look(&m, &o, &r);
	CHECK(!o.nr);
	orphans_fini(&o);
	be64_put(table + 8 * 40, 0);
	for (unsigned i = 0; i < 6; i++)
		table[8 * i] = 0;
	look(&m, &o, &r);
	CHECK(!o.nr);
	orphans_fini(&o);
	free(m.bytes);
}

static void two_lost_tables_keep_their_order(void)
{
	struct made m = made_new();
	struct orphans o = { 0 };
	struct check_result r;

	for (unsigned i = 0; i < 12; i++)
		made_add(&m, i, 4);
	be64_put(slot(&m, 4), 0);
	be64_put(slot(&m, 5), 0);
	be64_put(slot(&m, 9), 0);
	look(&m, &o, &r);
	CHECK(o.nr == 3 && o.list[0].l1_idx == 4 && o.list[1].l1_idx == 5 && o.list[2].l1_idx == 9);
	for (unsigned i = 0; i < o.nr; i++)
		CHECK(o.list[i].confidence >= ORPHAN_CONFIDENCE);
	orphans_fini(&o);
	free(m.bytes);
}

int main(void)
{
	RUN(nothing_is_lost_in_a_sound_image);
	RUN(in_order_every_table_goes_back);
	RUN(without_order_nothing_is_put_in_a_wrong_place);
	RUN(a_flipped_bit_tells);
	RUN(what_is_no_table_is_not_offered);
	RUN(two_lost_tables_keep_their_order);
	return DONE();
}
