#include "check.h"

#include "base/bytes.h"
#include "bytes_help.h"
#include "format/l2_entry.h"
#include "format/refcount_table.h"

static struct geom geom(unsigned cluster_bits, bool subclusters)
{
	struct geom g = { .version = 3, .cluster_bits = (uint8_t)cluster_bits,
			  .subclusters = subclusters, .refcount_order = 4 };

	geom_derive(&g);
	return g;
}

static enum cluster_kind kind(const struct geom *g, uint64_t raw)
{
	struct l2_entry x = l2_entry_decode(g, raw, 0);

	return l2_entry_kind(g, &x);
}

static unsigned problems(const struct geom *g, uint64_t raw, uint64_t bitmap)
{
	struct l2_entry x = l2_entry_decode(g, raw, bitmap);

	return l2_entry_problems(g, &x);
}

static void table_entries_are_split_and_joined(void)
{
	static const uint64_t raws[] = { 0, 0x8000000000050000, UINT64_MAX, 0x1ff,
					 0x7f00000000000000, 0x00fffffffffffe00 };

	for (size_t i = 0; i < sizeof raws / sizeof *raws; i++) {
		struct l1_entry l1 = l1_entry_decode(raws[i]);
		struct refcount_table_entry rt = refcount_table_entry_decode(raws[i]);

		CHECK(l1_entry_encode(&l1) == raws[i] && l1.l2_off <= UINT64_C(1) << 56);
		CHECK(refcount_table_entry_encode(&rt) == raws[i]);
	}
	CHECK(l1_entry_decode(0x8000000000050000).l2_off == 0x50000);
	CHECK(l1_entry_decode(0x8000000000050000).copied);
	CHECK(l1_entry_decode(0x4000000000050002).reserved == 0x4000000000000002);
	CHECK(refcount_table_entry_decode(0xff00000000010001).block_off == 0xff00000000010000);
	CHECK(refcount_table_entry_decode(0xff00000000010001).reserved == 1);
}

static void the_documented_table_reads_as_documented(void)
{
	struct geom g = geom(16, false);
	uint8_t table[32];
	struct l2_entry x;

	hex("4000000000050000 400000000005004f 8000000000060000 0000000000000001", table);
	x = l2_entry_at(&g, table, 0);
	CHECK(l2_entry_kind(&g, &x) == CLUSTER_PACKED && x.host == 0x50000 && x.host_len == 512);
	x = l2_entry_at(&g, table, 1);
	CHECK(x.packed && x.host == 0x5004f && x.host_len == 433 && !x.has_host);
	x = l2_entry_at(&g, table, 2);
	CHECK(l2_entry_kind(&g, &x) == CLUSTER_DATA && x.host == 0x60000 && x.copied);
	x = l2_entry_at(&g, table, 3);
	CHECK(l2_entry_kind(&g, &x) == CLUSTER_ZERO && !x.has_host);
	for (uint32_t i = 0; i < 4; i++) {
		x = l2_entry_at(&g, table, i);
		CHECK(!l2_entry_problems(&g, &x) && x.raw == be64_get(table + 8 * i));
	}
	x = l2_entry_decode(&g, 0x40400000000541fd, 0);
	CHECK(x.host == 0x541fd && x.host_len == 515);
	CHECK(l2_entry_packed(&g, 0x541fd, 88) == 0x40400000000541fd);
}

static void entries_are_stored_where_they_are_read(void)
{
	for (unsigned sub = 0; sub < 2; sub++) {
		struct geom g = geom(14, sub);
		uint8_t table[64] = { 0 };
		struct l2_entry x;

		l2_entry_store(&g, table, 2, 0x8000000000060000, 0x6000000002);
		x = l2_entry_at(&g, table, 2);
		CHECK(x.raw == 0x8000000000060000 && x.bitmap == (sub ? 0x6000000002 : 0));
		CHECK(bytes_same((struct bytes){ table, 16 }, (struct bytes){ table + 48, 16 }));
		CHECK(be64_get(table + (sub ? 32 : 16)) == x.raw);
	}
}

static void standard_entries_are_classified(void)
{
	struct geom g = geom(16, false);

	CHECK(kind(&g, 0) == CLUSTER_ABSENT);
	CHECK(kind(&g, ENTRY_COPIED) == CLUSTER_ABSENT);
	CHECK(kind(&g, 0x50000) == CLUSTER_DATA);
	CHECK(kind(&g, 0x50000 | ENTRY_COPIED) == CLUSTER_DATA);
	CHECK(kind(&g, 1) == CLUSTER_ZERO && kind(&g, ENTRY_COPIED | 1) == CLUSTER_ZERO);
	CHECK(kind(&g, 0x50001) == CLUSTER_ZERO_HOST);
	CHECK(kind(&g, ENTRY_COMPRESSED | 0x10000) == CLUSTER_PACKED);
	/* Where the header is there are no compressed data. */
	CHECK(kind(&g, ENTRY_COMPRESSED) == CLUSTER_INVALID);
	CHECK(kind(&g, ENTRY_COMPRESSED | 0xffff) == CLUSTER_INVALID);
	CHECK(kind(&g, 0x50200) == CLUSTER_INVALID && kind(&g, 0x50201) == CLUSTER_INVALID);
	CHECK(kind(&g, 0x3f000000000501fe) == CLUSTER_DATA); /* reserved bits: for a check */
}

static void version_2_knows_no_zero_flag(void)
{
	struct geom g = geom(16, false);

	g.version = 2;
	CHECK(kind(&g, 1) == CLUSTER_INVALID && kind(&g, 0x50001) == CLUSTER_INVALID);
	CHECK(kind(&g, 0x50000) == CLUSTER_DATA && kind(&g, 0) == CLUSTER_ABSENT);
	CHECK(kind(&g, ENTRY_COMPRESSED | 0x10001) == CLUSTER_PACKED);
	CHECK(problems(&g, 1, 0) == L2_BAD_ZERO_V2);
}

static void in_a_data_file_offset_0_is_a_place(void)
{
	struct geom g = geom(16, false), s = geom(16, true);
	struct l2_entry x;

	g.data_file = s.data_file = true;
	x = l2_entry_decode(&g, ENTRY_COPIED, 0);
	CHECK(x.has_host && x.host == 0 && l2_entry_kind(&g, &x) == CLUSTER_DATA);
	CHECK(!l2_entry_problems(&g, &x));
	CHECK(kind(&g, 0) == CLUSTER_ABSENT && kind(&g, 1) == CLUSTER_ZERO);
	CHECK(kind(&g, ENTRY_COPIED | 1) == CLUSTER_ZERO);
	CHECK(!problems(&g, ENTRY_COPIED | 1, 0));
	CHECK(kind(&g, ENTRY_COMPRESSED | 0x50000) == CLUSTER_INVALID);
	CHECK(problems(&g, ENTRY_COMPRESSED | 0x50000, 0) == L2_BAD_PACKED_DATA_FILE);
	x = l2_entry_decode(&s, ENTRY_COPIED, 1);
	CHECK(l2_entry_subcluster_kind(&s, &x, 0) == CLUSTER_DATA);
	CHECK(l2_entry_subcluster_kind(&s, &x, 1) == CLUSTER_ABSENT_HOST);
}

/* Every cluster size, the ends of every range: what is packed comes out again. */
static void packed_entries_survive_a_round_trip(void)
{
	for (unsigned bits = 9; bits <= 21; bits++) {
		struct geom g = geom(bits, false);
		uint32_t cs = 1u << bits;
		const uint32_t lens[] = { 1, 2, 511, 512, 513, cs / 2 + 1, cs - 2, cs - 1 };
		const uint64_t hosts[] = { cs, cs + 1, cs + 511, cs + 512, 2 * cs - 1, 2 * cs, 3 * cs + 77,
					   geom_packed_offset_limit(&g) - 1,
					   geom_packed_offset_limit(&g) - 512 };

		for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
			for (size_t k = 0; k < sizeof hosts / sizeof *hosts; k++) {
				uint32_t len = lens[i] >= cs ? cs - 1 : lens[i];
				uint64_t raw = l2_entry_packed(&g, hosts[k], len);
				struct l2_entry x = l2_entry_decode(&g, raw, 0);

				CHECK(x.packed && !x.copied && !x.zero && x.host == hosts[k]);
				CHECK(x.host_len >= len && x.host_len - len < 512);
				CHECK((x.host + x.host_len) % 512 == 0);
				CHECK(!l2_entry_problems(&g, &x));
				CHECK(l2_entry_kind(&g, &x) == CLUSTER_PACKED);
			}
	}
}

/* The definition, spelled out bit by bit: x = 70 - cluster_bits offset bits, the sector count
 * in the cluster_bits - 8 bits above. */
static void every_bit_of_a_packed_entry_has_its_place(void)
{
	for (unsigned bits = 9; bits <= 21; bits++) {
		struct geom g = geom(bits, false);

		for (unsigned bit = 0; bit < 62; bit++) {
			struct l2_entry x = l2_entry_decode(
				&g, ENTRY_COMPRESSED | UINT64_C(1) << bit, 0);
			bool high = bit > 55 && bit < 70 - bits;
			bool bad = high || x.host < geom_cluster_size(&g);

			if (bit < 70 - bits) {
				CHECK(x.host == UINT64_C(1) << bit);
				CHECK(x.host_len == 512 - (x.host & 511));
			} else {
				CHECK(x.host == 0);
				CHECK(x.host_len == ((UINT64_C(1) << (bit - 70 + bits)) + 1) * 512);
			}
			CHECK(l2_entry_problems(&g, &x) == (bad ? L2_BAD_PACKED_OFFSET : 0u));
			CHECK((l2_entry_kind(&g, &x) == CLUSTER_INVALID) == bad);
		}
	}
	CHECK(geom_packed_offset_limit(&(struct geom){ .cluster_bits = 9 }) == UINT64_C(1) << 56);
	CHECK(geom_packed_offset_limit(&(struct geom){ .cluster_bits = 14 }) == UINT64_C(1) << 56);
	CHECK(geom_packed_offset_limit(&(struct geom){ .cluster_bits = 15 }) == UINT64_C(1) << 55);
	CHECK(geom_packed_offset_limit(&(struct geom){ .cluster_bits = 21 }) == UINT64_C(1) << 49);
}

/* The table of (5.4) for one subcluster, written the slow way. */
static enum cluster_kind expected(bool host, uint64_t bitmap, unsigned i)
{
	bool bad = false;

	for (unsigned k = 0; k < 32; k++)
		if ((bitmap >> k & 1) && (!host || (bitmap >> (32 + k) & 1)))
			bad = true;
	if (bad)
		return CLUSTER_INVALID;
	if (bitmap >> i & 1)
		return CLUSTER_DATA;
	if (bitmap >> (32 + i) & 1)
		return host ? CLUSTER_ZERO_HOST : CLUSTER_ZERO;
	return host ? CLUSTER_ABSENT_HOST : CLUSTER_ABSENT;
}

static void check_subclusters(uint64_t raw, uint64_t bitmap)
{
	struct geom g = geom(16, true);
	struct l2_entry x = l2_entry_decode(&g, raw, bitmap);

	for (unsigned i = 0; i < 32; i++) {
		enum cluster_kind want = expected(x.has_host, bitmap, i), got;
		unsigned run = 1;

		while (i + run < 32 && expected(x.has_host, bitmap, i + run) == want)
			run++;
		CHECK(l2_entry_subcluster_kind(&g, &x, i) == want);
		CHECK(l2_entry_subcluster_run(&g, &x, i, &got) == run && got == want);
	}
}

static void every_combination_of_subclusters_is_classified(void)
{
	static const uint64_t raws[] = { 0, ENTRY_COPIED, 0x50000, 0x50000 | ENTRY_COPIED, 0x50001, 1 };
	uint64_t random = 0x9e3779b97f4a7c15;

	for (size_t k = 0; k < sizeof raws / sizeof *raws; k++) {
		for (unsigned i = 0; i < 256; i++) {
			/* four subclusters, every state of each: at the start and the end */
			check_subclusters(raws[k], (uint64_t)(i >> 4) << 32 | (i & 15));
			check_subclusters(raws[k], (uint64_t)(i >> 4) << 60 | (uint64_t)(i & 15) << 28);
		}
		check_subclusters(raws[k], L2_ALL_ALLOCATED);
		check_subclusters(raws[k], L2_ALL_ZERO);
		check_subclusters(raws[k], UINT64_MAX);
		for (unsigned i = 0; i < 300; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			check_subclusters(raws[k], random & ~(random << 32)); /* no both-bits */
			check_subclusters(raws[k], random & L2_ALL_ZERO);
		}
	}
}

static void the_documented_extended_table_reads_as_documented(void)
{
	struct geom g = geom(16, true);
	enum cluster_kind got;
	uint8_t table[64];
	struct l2_entry x;

	hex("8000000000050000 0000006000000002 0000000000000000 0000000000000000"
	    "0000000000000000 ffffffff00000000 4000000000060000 0000000000000000", table);
	x = l2_entry_at(&g, table, 0);
	CHECK(l2_entry_subcluster_run(&g, &x, 0, &got) == 1 && got == CLUSTER_ABSENT_HOST);
	CHECK(l2_entry_subcluster_run(&g, &x, 1, &got) == 1 && got == CLUSTER_DATA);
	CHECK(l2_entry_subcluster_run(&g, &x, 2, &got) == 3 && got == CLUSTER_ABSENT_HOST);
	CHECK(l2_entry_subcluster_run(&g, &x, 5, &got) == 2 && got == CLUSTER_ZERO_HOST);
	CHECK(l2_entry_subcluster_run(&g, &x, 7, &got) == 25 && got == CLUSTER_ABSENT_HOST);
	x = l2_entry_at(&g, table, 1);
	CHECK(l2_entry_subcluster_run(&g, &x, 0, &got) == 32 && got == CLUSTER_ABSENT);
	x = l2_entry_at(&g, table, 2);
	CHECK(l2_entry_subcluster_run(&g, &x, 0, &got) == 32 && got == CLUSTER_ZERO);
	x = l2_entry_at(&g, table, 3);
	CHECK(l2_entry_subcluster_run(&g, &x, 3, &got) == 29 && got == CLUSTER_PACKED);
	for (uint32_t i = 0; i < 4; i++) {
		x = l2_entry_at(&g, table, i);
		CHECK(!l2_entry_problems(&g, &x));
	}
}

static void packed_and_broken_entries_are_the_same_in_every_subcluster(void)
{
	struct geom g = geom(16, true);
	struct l2_entry packed = l2_entry_decode(&g, ENTRY_COMPRESSED | 0x50000, 0x0f0f);
	struct l2_entry odd = l2_entry_decode(&g, 0x50200, 1);
	enum cluster_kind got;

	for (unsigned i = 0; i < 32; i++) {
		CHECK(l2_entry_subcluster_kind(&g, &packed, i) == CLUSTER_PACKED);
		CHECK(l2_entry_subcluster_run(&g, &packed, i, &got) == 32 - i);
		CHECK(l2_entry_subcluster_kind(&g, &odd, i) == CLUSTER_INVALID);
		CHECK(l2_entry_subcluster_run(&g, &odd, i, &got) == 32 - i);
	}
}

static void each_problem_is_found_by_itself(void)
{
	struct geom g = geom(16, false), s = geom(16, true), small = geom(9, false);

	CHECK(!problems(&g, 0, 0) && !problems(&g, 0x50000, 0) && !problems(&g, 0x50001, 0));
	for (unsigned bit = 0; bit < 64; bit++) {
		bool reserved = (bit >= 1 && bit <= 8) || (bit >= 56 && bit <= 61);

		if (bit == 62)
			continue;
		CHECK(!(problems(&g, UINT64_C(1) << bit, 0) & L2_BAD_RESERVED) == !reserved);
		CHECK(!(problems(&s, UINT64_C(1) << bit, 0) & L2_BAD_RESERVED) ==
		      !(reserved || bit == 0));
	}
	CHECK(problems(&g, 0x50200, 0) == L2_BAD_ALIGNMENT);
	CHECK(problems(&small, 0x50200, 0) == 0);
	CHECK(problems(&g, ENTRY_COPIED, 0) == L2_BAD_COPIED_NO_HOST);
	CHECK(problems(&g, ENTRY_COPIED | 1, 0) == L2_BAD_COPIED_NO_HOST);
	CHECK(problems(&g, ENTRY_COPIED | ENTRY_COMPRESSED | 0x10000, 0) == L2_BAD_COPIED_PACKED);
	CHECK(problems(&s, 0x50000, 0x100000001) == L2_BAD_BOTH_BITS);
	CHECK(problems(&s, 0x50000, 0x200000001) == 0);
	CHECK(problems(&s, 0, 0x80000000) == L2_BAD_BITS_NO_HOST);
	CHECK(problems(&s, 0, L2_ALL_ZERO) == 0);
	CHECK(problems(&s, ENTRY_COMPRESSED | 0x10000, 1) == L2_BAD_BITMAP_PACKED);
	CHECK(problems(&s, 1, 0) == L2_BAD_RESERVED);
}

int main(void)
{
	RUN(table_entries_are_split_and_joined);
	RUN(the_documented_table_reads_as_documented);
	RUN(entries_are_stored_where_they_are_read);
	RUN(standard_entries_are_classified);
	RUN(version_2_knows_no_zero_flag);
	RUN(in_a_data_file_offset_0_is_a_place);
	RUN(packed_entries_survive_a_round_trip);
	RUN(every_bit_of_a_packed_entry_has_its_place);
	RUN(every_combination_of_subclusters_is_classified);
	RUN(the_documented_extended_table_reads_as_documented);
	RUN(packed_and_broken_entries_are_the_same_in_every_subcluster);
	RUN(each_problem_is_found_by_itself);
	return DONE();
}
