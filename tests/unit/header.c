#include "header_help.h"

static uint8_t again[CLUSTER_SIZE_MAX];

static const char EMPTY_V3[] = /* an empty 64 MiB image, header without extensions */
	"5146 49fb 0000 0003 0000 0000 0000 0000 0000 0000 0000 0010 0000 0000 0400 0000"
	"0000 0000 0000 0001 0000 0000 0003 0000 0000 0000 0001 0000 0000 0001 0000 0000"
	"0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000"
	"0000 0004 0000 0070 0000 0000 0000 0000";
static const char OVERLAY_V2[] = /* 512-byte clusters, on base.raw */
	"5146 49fb 0000 0002 0000 0000 0000 0060 0000 0008 0000 0009 0000 0000 0200 0000"
	"0000 0000 0000 0400 0000 0000 0000 0600 0000 0000 0000 0200 0000 0001 0000 0000"
	"0000 0000 0000 0000 e279 2aca 0000 0003 7261 7700 0000 0000 0000 0000 0000 0000"
	"6261 7365 2e72 6177";

static void an_empty_version_3_image_reads_as_documented(void)
{
	uint64_t cluster_size;
	struct err e = ERR_INIT;
	struct header h;
	struct geom g;

	memset(cluster, 0, sizeof cluster);
	hex(EMPTY_V3, cluster);
	CHECK(header_probe(cluster, HEADER_PROBE_BYTES, &cluster_size, &e) == 0);
	CHECK(cluster_size == 65536);
	CHECK(header_decode(cluster, cluster_size, &h, &e) == 0);
	CHECK(h.version == 3 && h.size == 0x4000000 && h.l1_size == 1);
	CHECK(h.l1_table_off == 0x30000 && h.refcount_table_off == 0x10000);
	CHECK(h.refcount_table_clusters == 1 && h.header_length == 112);
	CHECK(!h.backing_name.n && !h.backing_format.n && !h.extensions.n && !h.unknown_fields.n);
	CHECK(!h.has_bitmaps_ext && !h.has_crypto_ext && !h.has_data_file_name);
	g = header_geom(&h);
	CHECK(g.version == 3 && g.cluster_bits == 16 && g.l2_bits == 13 && g.l2_entry_bits == 3);
	CHECK(g.refcount_order == 4 && !g.subclusters && !g.data_file);
	CHECK(g.disk_size == 64 << 20 && geom_l1_entries(&g, g.disk_size) == 1);
}

static void an_empty_version_3_image_is_written_as_documented(void)
{
	struct header h = sound();
	uint8_t want[0x90];
	size_t n = hex(EMPTY_V3, want);

	n += hex("6803 f857 0000 0180 0000 6469 7274 7920 6269 7400 0000 0000 0000 0000 0000 0000",
		 want + n);
	lay(&h);
	CHECK(n == sizeof want && !memcmp(cluster, want, n));
	CHECK(cluster[0x1c8] == 2 && cluster[0x1c9] == 1);
	CHECK(!memcmp(cluster + 0x1ca, "raw external data", 18));
	for (size_t i = 0x1f8; i < 65536; i++)
		CHECK(!cluster[i]);
}

static void a_version_2_overlay_survives_unchanged(void)
{
	struct err e = ERR_INIT;
	struct header h;
	size_t n;

	memset(cluster, 0, 512);
	memset(again, 0xee, 512);
	n = hex(OVERLAY_V2, cluster);
	CHECK(header_decode(cluster, n, &h, &e) == 0);
	CHECK(h.version == 2 && h.refcount_order == 4 && h.header_length == 72);
	CHECK(!h.incompatible_features && !h.compatible_features && !h.autoclear_features);
	CHECK(bytes_are(h.backing_name, "base.raw") && bytes_are(h.backing_format, "raw"));
	CHECK(header_encode(again, &h, &e) == 0 && !memcmp(again, cluster, 512));
}

static void any_cut_is_refused(void)
{
	struct err e;
	size_t n = hex(OVERLAY_V2, cluster);

	for (size_t cut = 0; cut < n; cut++)
		CHECK(decodes(cluster, cut, &e) == -1 && e.code == ERR_CORRUPT);
	CHECK(decodes(cluster, n, &e) == 0);
	n = hex(EMPTY_V3, cluster);
	for (size_t cut = 0; cut < n; cut++)
		CHECK(decodes(cluster, cut, &e) == -1 && e.code == ERR_CORRUPT);
	CHECK(decodes(cluster, n, &e) == 0);
}

static void what_is_no_qcow2_image_is_told_in_the_words_that_scripts_match(void)
{
	static const char want[] = "Image is not in qcow2 format";
	struct header h = sound();
	uint64_t cluster_size;
	struct err e = ERR_INIT;

	CHECK(header_probe("", 0, &cluster_size, &e) == -1 && !strcmp(e.text, want));
	lay(&h);
	for (unsigned bit = 0; bit < 32; bit++) {
		cluster[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK(!strcmp(verdict(NULL), want));
		cluster[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	be32_put(cluster + 4, 4);
	CHECK(refused(ERR_UNSUPPORTED, "unsupported qcow2 version 4"));
	be32_put(cluster + 4, 1);
	CHECK(refused(ERR_UNSUPPORTED, "version 1"));
}

struct bend {
	unsigned at, width; /* bytes */
	uint64_t value;
	enum err_code code;
	const char *says;
};

static const struct bend BAD[] = {
	{ 20, 4, 8, ERR_UNSUPPORTED, "cluster size of 2^8" },
	{ 20, 4, 22, ERR_UNSUPPORTED, "cluster size of 2^22" },
	{ 20, 4, 0xffffffff, ERR_UNSUPPORTED, "cluster size" },
	{ 24, 8, UINT64_C(1) << 63, ERR_CORRUPT, "image is too big" },
	{ 24, 8, INT64_MAX, ERR_CORRUPT, "L1 table is too small" },
	{ 24, 8, (UINT64_C(1) << 29) + 512, ERR_CORRUPT, "needs 2" },
	{ 32, 4, 3, ERR_UNSUPPORTED, "encryption method 3" },
	{ 32, 4, 2, ERR_CORRUPT, "without a crypto header extension" },
	{ 36, 4, 0, ERR_CORRUPT, "L1 table is too small" },
	{ 36, 4, 4194305, ERR_CORRUPT, "L1 table is too large" },
	{ 36, 4, 0xffffffff, ERR_CORRUPT, "L1 table is too large" },
	{ 40, 8, 0x30200, ERR_CORRUPT, "L1 table at 0x30200 is not cluster aligned" },
	{ 40, 8, UINT64_C(1) << 63, ERR_CORRUPT, "L1 table at 0x8000000000000000 is out of" },
	{ 48, 8, 0x10001, ERR_CORRUPT, "refcount table at 0x10001 is not cluster" },
	{ 48, 8, 0x7fffffffffff0000, ERR_CORRUPT, "refcount table at 0x7fffffffffff0000 is out" },
	{ 56, 4, 129, ERR_CORRUPT, "refcount table is too large" },
	{ 56, 4, 0xffffffff, ERR_CORRUPT, "refcount table is too large" },
	{ 88, 8, 2, ERR_CORRUPT, "autoclear feature bit 1" },
	{ 96, 4, 7, ERR_UNSUPPORTED, "refcount width" },
	{ 96, 4, 0xffffffff, ERR_UNSUPPORTED, "refcount width" },
	{ 100, 4, 103, ERR_CORRUPT, "header length of 103" },
	{ 100, 4, 0, ERR_CORRUPT, "header length of 0" },
	{ 100, 4, 65537, ERR_CORRUPT, "header length of 65537" },
	{ 100, 4, 0xffffffff, ERR_CORRUPT, "header length" },
};

static void every_field_out_of_range_is_refused(void)
{
	struct header h = sound();

	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		lay(&h);
		put(BAD[i].at, BAD[i].width, BAD[i].value);
		CHECK(refused(BAD[i].code, BAD[i].says));
	}
}

static const struct bend BAD_SNAPSHOTS[] = {
	{ 60, 4, 65537, ERR_CORRUPT, "snapshot table is too large: 65537" },
	{ 64, 8, 8, ERR_CORRUPT, "snapshot table at 0x8 is not cluster" },
	{ 64, 8, UINT64_C(1) << 63, ERR_CORRUPT, "snapshot table" },
};

static void a_snapshot_table_out_of_range_is_for_the_caller_to_refuse(void)
{
	struct header h = sound(), got;

	CHECK(header_snapshots_check(&h, &(struct err){ 0 }) == 0);
	for (size_t i = 0; i < sizeof BAD_SNAPSHOTS / sizeof *BAD_SNAPSHOTS; i++) {
		struct err e = ERR_INIT;

		lay(&h);
		put(BAD_SNAPSHOTS[i].at, BAD_SNAPSHOTS[i].width, BAD_SNAPSHOTS[i].value);
		CHECK(header_decode(cluster, sizeof cluster, &got, &e) == 0);
		CHECK(header_snapshots_check(&got, &e) == -1 && e.code == ERR_CORRUPT);
		CHECK(strstr(e.text, BAD_SNAPSHOTS[i].says));
	}
}

static const struct bend GOOD[] = {
	{ 24, 8, 0 },			  /* an L1 table larger than needed */
	{ 24, 8, (UINT64_C(1) << 29) + 511 }, /* rounded down to what one entry maps */
	{ 36, 4, 4194304 },		  /* the largest L1 table */
	{ 40, 8, 0x7ffffffffffe0000 },	  /* beyond any file */
	{ 48, 8, 0x123450000 },
	{ 56, 4, 0 }, /* left to the checker */
	{ 56, 4, 128 },
	{ 60, 4, 65536 },
	{ 80, 8, UINT64_MAX }, /* compatible bits are anybody's */
	{ 88, 8, ~UINT64_C(2) },
	{ 96, 4, 0 },
	{ 96, 4, 6 },
	{ 105, 7, 0xffffffffffffff }, /* padding has no meaning */
	{ 72, 8, 7 },
	{ 32, 4, 1 },
};

static void what_a_reader_or_a_checker_can_live_with_is_accepted(void)
{
	struct header h = sound();

	for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
		lay(&h);
		put(GOOD[i].at, GOOD[i].width, GOOD[i].value);
		CHECK(accepted());
	}
	h = (struct header){ .version = 3, .cluster_bits = 9 }; /* created with size 0 */
	lay(&h);
	CHECK(accepted());
}

static void the_disk_ends_at_a_sector(void)
{
	struct header h = sound();

	h.size = 1000;
	CHECK(header_geom(&h).disk_size == 512 && h.size == 1000);
}

static void the_largest_disk_of_each_cluster_size_fits_and_no_more(void)
{
	for (unsigned extended = 0; extended < 2; extended++)
		for (unsigned bits = extended ? 14 : 9; bits <= 21; bits++) {
			struct header h = sound();
			unsigned disk_bits = 22 + bits - 3 - extended + bits;

			h.cluster_bits = bits;
			h.l1_table_off = h.refcount_table_off = 4 << 20;
			h.incompatible_features = extended ? INCOMPATIBLE_EXTENDED_L2 : 0;
			h.l1_size = 1 << 22;
			h.size = UINT64_C(1) << disk_bits;
			lay(&h);
			CHECK(accepted());
			put(24, 8, h.size + 512);
			CHECK(refused(ERR_CORRUPT, "L1 table is too small"));
		}
}

int main(void)
{
	RUN(an_empty_version_3_image_reads_as_documented);
	RUN(an_empty_version_3_image_is_written_as_documented);
	RUN(a_version_2_overlay_survives_unchanged);
	RUN(any_cut_is_refused);
	RUN(what_is_no_qcow2_image_is_told_in_the_words_that_scripts_match);
	RUN(every_field_out_of_range_is_refused);
	RUN(a_snapshot_table_out_of_range_is_for_the_caller_to_refuse);
	RUN(what_a_reader_or_a_checker_can_live_with_is_accepted);
	RUN(the_disk_ends_at_a_sector);
	RUN(the_largest_disk_of_each_cluster_size_fits_and_no_more);
	return DONE();
}
