#include "header_help.h"

static uint8_t again[CLUSTER_SIZE_MAX];

static const char EMPTY_V3[] = /* an empty 64 MiB image, header without extensions */
	"5146 49fb 0000 0003 0000 0000 0000 0000 0000 0000 0000 0010 0000 0000 0400 0000"
	"0000 0000 0000 0001 0000 0000 0003 0000 0000 0000 0001 0000 0000 0001 0000 0000"
	"0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000"
	"0000 0004 0000 0070 0000 0000 0000 0000";

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static void a_list_may_end_with_the_file_but_not_inside_an_extension(void)
{
	struct header h = sound();
	struct err e;

	lay(&h);
	for (size_t n = 112; n <= 512; n++) {
		bool whole = n == 112 || n == 504 || n == 512;

		CHECK(decodes(cluster, n, &e) == (whole ? 0 : -1));
		CHECK(whole || e.code == ERR_CORRUPT);
	}
}

static void odd_header_lengths_are_read_and_kept(void)
{
	static const unsigned lengths[] = { 104, 105, 106, 111, 112, 113, 117, 120, 128 };

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		unsigned len = lengths[i], want = len < 112 ? 112 : len;
		struct err e = ERR_INIT;
		struct header h;

		memset(cluster, 0, 65536);
		hex(EMPTY_V3, cluster);
		put(100, 4, len);
		for (unsigned at = 112; at < len; at++)
			cluster[at] = (uint8_t)at;
		/* two extensions, so that the padding between them matters */
		hex("e2792aca 00000003 726177 0000000000 12345678 00000001 ff 00000000000000",
		    cluster + len);
		CHECK(header_decode(cluster, 65536, &h, &e) == 0);
		CHECK(bytes_are(h.backing_format, "raw") && h.extensions.n == 32);
		CHECK(h.unknown_fields.n == (len > 112 ? len - 112 : 0));
		CHECK(header_encode(again, &h, &e) == 0 && be32_get(again + 100) == want);
		CHECK(!memcmp(again + 112, cluster + 112, want - 112));
		CHECK(header_decode(again, 65536, &h, &e) == 0);
		CHECK(bytes_are(h.backing_format, "raw"));
	}
}

static void a_header_that_fills_its_cluster_reads_but_has_no_room_to_grow(void)
{
	struct header h = sound();
	struct err e = ERR_INIT;

	lay(&h);
	put(100, 4, 65536);
	CHECK(header_decode(cluster, 65536, &h, &e) == 0);
	CHECK(h.extensions.n == 0 && h.unknown_fields.n == 65536 - 112);
	CHECK(header_encode(again, &h, &e) == -1 && err_says(&e, ERR_INVALID, "does not fit"));
}

/* Appends raw extensions where the feature table of a small-cluster header would be. */
static void lay_list(struct header *h, const char *list)
{
	h->cluster_bits = 12;
	h->l1_table_off = 0x4000;
	h->l1_size = 1024;
	lay(h);
	hex(list, cluster + 112);
}

#define BITMAPS_EXT "23852875 00000018 00000002 00000000 0000000000000048 00000000000c0000"
#define CRYPTO_EXT  "0537be77 00000010 0000000000040000 00000000001f9000"

static void strings_may_come_twice_pointers_not(void)
{
	struct header h = sound(), got;
	struct err e = ERR_INIT;

	lay_list(&h, "e2792aca 00000003 7261770000000000 e2792aca 00000005 71636f7732 000000"
		     "44415441 00000001 6100000000000000 44415441 00000001 6200000000000000");
	CHECK(header_decode(cluster, 4096, &got, &e) == 0);
	CHECK(bytes_are(got.backing_format, "qcow2") && bytes_are(got.data_file_name, "b"));
	lay_list(&h, BITMAPS_EXT BITMAPS_EXT);
	CHECK(refused(ERR_CORRUPT, "more than one bitmaps extension"));
	lay_list(&h, CRYPTO_EXT CRYPTO_EXT);
	put(32, 4, CRYPT_LUKS);
	CHECK(refused(ERR_CORRUPT, "more than one crypto header extension"));
}

static void the_crypto_extension_goes_with_method_2_only(void)
{
	struct header h = sound(), got;
	struct err e = ERR_INIT;

	lay_list(&h, CRYPTO_EXT);
	CHECK(refused(ERR_CORRUPT, "crypto header extension with encryption method 0"));
	put(32, 4, CRYPT_AES);
	CHECK(refused(ERR_CORRUPT, "encryption method 1"));
	put(32, 4, CRYPT_LUKS);
	CHECK(header_decode(cluster, 4096, &got, &e) == 0);
	CHECK(got.has_crypto_ext && got.crypto.header_off == 0x40000);
	CHECK(got.crypto.header_len == 0x1f9000);
	put(120, 8, 0x40200);
	CHECK(refused(ERR_CORRUPT, "crypto header at 0x40200 is not cluster aligned"));
	put(116, 4, 8);
	CHECK(refused(ERR_CORRUPT, "crypto header extension of 8 bytes"));
}

static void bitmaps_count_only_with_their_autoclear_bit(void)
{
	struct header h = sound(), got;
	struct err e = ERR_INIT;

	lay_list(&h, BITMAPS_EXT);
	CHECK(header_decode(cluster, 4096, &got, &e) == 0 && got.has_bitmaps_ext);
	put(88, 8, AUTOCLEAR_BITMAPS);
	CHECK(header_decode(cluster, 4096, &got, &e) == 0 && got.has_bitmaps_ext);
	CHECK(got.bitmaps.nr == 2 && got.bitmaps.directory_len == 72);
	CHECK(got.bitmaps.directory_off == 0xc0000);
	put(136, 8, 0xc0200); /* unaligned directory */
	CHECK(refused(ERR_CORRUPT, "bitmap directory at 0xc0200"));
	put(88, 8, 0);
	CHECK(header_decode(cluster, 4096, &got, &e) == 0 && !got.has_bitmaps_ext);
	put(120, 4, 0); /* no bitmaps */
	CHECK(header_decode(cluster, 4096, &got, &e) == 0 && !got.has_bitmaps_ext);
	put(116, 4, 16);
	CHECK(refused(ERR_CORRUPT, "bitmaps extension of 16 bytes"));
	lay(&h); /* the bit alone is for the checker to report */
	put(88, 8, AUTOCLEAR_BITMAPS);
	CHECK(accepted());
}

static void an_empty_data_file_name_is_not_none(void)
{
	struct header h = sound(), got;
	struct err e = ERR_INIT;

	h.has_data_file_name = true;
	h.incompatible_features = INCOMPATIBLE_DATA_FILE;
	h.autoclear_features = AUTOCLEAR_DATA_FILE_RAW;
	lay(&h);
	CHECK(header_decode(cluster, 65536, &got, &e) == 0);
	CHECK(got.has_data_file_name && !got.data_file_name.n && header_geom(&got).data_file);
}

static void unknown_extensions_keep_their_order_and_bytes(void)
{
	static const char list[] = "11111111 00000003 6162630000000000 e2792aca 00000003"
				   "7261770000000000 22222222 00000000 11111111 00000009"
				   "616161616161616161 00000000000000";
	struct header h = sound(), got;
	struct err e = ERR_INIT;
	struct header_ext x;
	struct rd r;

	lay_list(&h, list);
	memset(cluster + 123, 0xee, 5); /* dirty padding */
	CHECK(header_decode(cluster, 4096, &h, &e) == 0 && header_encode(again, &h, &e) == 0);
	CHECK(header_decode(again, 4096, &got, &e) == 0);
	r = rd_over(got.extensions.p, got.extensions.n);
	CHECK(header_ext_next(&r, &x, &e) == 1 && x.type == EXT_BACKING_FORMAT);
	CHECK(header_ext_next(&r, &x, &e) == 1 && x.type == 0x11111111);
	CHECK(bytes_are(x.data, "abc") && !x.data.p[3] && !x.data.p[7]);
	CHECK(header_ext_next(&r, &x, &e) == 1 && x.type == 0x22222222 && !x.data.n);
	CHECK(header_ext_next(&r, &x, &e) == 1 && bytes_are(x.data, "aaaaaaaaa"));
	CHECK(header_ext_next(&r, &x, &e) == 0 && !err_is(&e));
}

static void a_torn_list_is_not_written(void)
{
	struct header h = sound();
	struct err e = ERR_INIT;

	h.extensions = text("torn");
	CHECK(header_encode(again, &h, &e) == -1 && err_says(&e, ERR_CORRUPT, "cut short"));
}

static void the_feature_table_is_only_for_roomy_version_3_headers(void)
{
	for (unsigned bits = 9; bits <= 21; bits++) {
		struct header h = sound();

		h.cluster_bits = bits;
		lay(&h);
		CHECK((be32_get(cluster + 112) == EXT_FEATURE_TABLE) == (bits > 12));
		h.version = 2;
		lay(&h);
		CHECK(be32_get(cluster + 72) == EXT_END);
	}
}

static void a_backing_name_must_lie_in_the_first_cluster(void)
{
	struct header h = sound();
	struct err e;

	h.cluster_bits = 12;
	h.l1_table_off = 0x4000;
	h.l1_size = 1024;
	h.backing_name = text("base");
	lay(&h);
	CHECK(accepted() && be64_get(cluster + 8) == 120);
	put(8, 8, 111);
	CHECK(refused(ERR_CORRUPT, "backing file name at 0x6f"));
	put(8, 8, 1);
	CHECK(refused(ERR_CORRUPT, "backing file name at 0x1"));
	put(8, 8, UINT64_MAX);
	CHECK(refused(ERR_CORRUPT, "backing file name at 0xffffffffffffffff"));
	put(8, 8, 4093);
	CHECK(refused(ERR_CORRUPT, "too long: 4 bytes"));
	put(8, 8, 4092);
	CHECK(accepted());
	CHECK(decodes(cluster, 4095, &e) == -1 && err_says(&e, ERR_CORRUPT, "cut short"));
	put(8, 8, 4096);
	CHECK(refused(ERR_CORRUPT, "too long"));
	put(16, 4, 0);
	CHECK(accepted());
	put(8, 8, 120);
	put(16, 4, 1023);
	CHECK(accepted());
	put(16, 4, 1024);
	CHECK(refused(ERR_CORRUPT, "too long: 1024 bytes"));
	put(8, 8, 0); /* no name: the length means nothing */
	CHECK(accepted());
}

static void extensions_end_where_the_backing_name_begins(void)
{
	struct header h = sound(), got;
	struct err e = ERR_INIT;

	lay_list(&h, "11111111 00000008 0123456789abcdef");
	put(8, 8, 128); /* no end marker before the name */
	put(16, 4, 4);
	CHECK(header_decode(cluster, 4096, &got, &e) == 0 && got.extensions.n == 16);
	put(8, 8, 127);
	CHECK(refused(ERR_CORRUPT, "extension 0x11111111, 0 bytes into the list, is too large"));
	put(8, 8, 116);
	CHECK(refused(ERR_CORRUPT, "cut short"));
	put(8, 8, 0);
	put(116, 4, 0xfffffff0);
	CHECK(refused(ERR_CORRUPT, "too large: 4294967280 bytes"));
}

static void a_name_that_does_not_fit_is_refused(void)
{
	static char name[2000];
	struct header h = sound();
	struct err e = ERR_INIT;

	memset(name, 'n', sizeof name);
	h.cluster_bits = 9;
	h.backing_format = text("raw");
	h.backing_name = (struct bytes){ (uint8_t *)name, 376 };
	CHECK(header_encode(cluster, &h, &e) == 0 && cluster[511] == 'n');
	h.backing_name.n = 377;
	CHECK(header_encode(cluster, &h, &e) == -1 && err_says(&e, ERR_INVALID, "does not fit"));
	e = ERR_INIT;
	h.cluster_bits = 16;
	h.backing_name.n = 1024;
	CHECK(header_encode(cluster, &h, &e) == -1 && err_says(&e, ERR_INVALID, "too long"));
}

static void everything_together_survives_a_round_trip(void)
{
	struct header h = sound(), got;
	struct err e = ERR_INIT;

	h.backing_name = text("dir/b\xc3\xa4se");
	h.backing_format = text("qcow2");
	h.crypt_method = CRYPT_LUKS;
	h.has_crypto_ext = h.has_bitmaps_ext = true;
	h.crypto = (struct crypto_ext){ 0x40000, 0x1f9000 };
	h.bitmaps = (struct bitmaps_ext){ 7, 280, 0x90000 };
	h.nb_snapshots = 3;
	h.snapshots_off = 0xa0000;
	h.incompatible_features = INCOMPATIBLE_EXTENDED_L2 | INCOMPATIBLE_COMPRESSION;
	h.compatible_features = UINT64_C(1) << 63 | COMPATIBLE_LAZY_REFCOUNTS;
	h.autoclear_features = AUTOCLEAR_BITMAPS | UINT64_C(1) << 33;
	h.compression_type = COMPRESSION_ZSTD;
	h.refcount_order = 6;
	lay(&h);
	CHECK(header_decode(cluster, 65536, &got, &e) == 0);
	CHECK(bytes_same(got.backing_name, h.backing_name) && got.crypt_method == CRYPT_LUKS);
	CHECK(bytes_same(got.backing_format, h.backing_format));
	CHECK(!memcmp(&got.crypto, &h.crypto, sizeof h.crypto));
	CHECK(got.bitmaps.nr == 7 && got.bitmaps.directory_off == 0x90000);
	CHECK(got.nb_snapshots == 3 && got.snapshots_off == 0xa0000 && got.refcount_order == 6);
	CHECK(got.incompatible_features == h.incompatible_features);
	CHECK(got.compatible_features == h.compatible_features);
	CHECK(got.autoclear_features == h.autoclear_features);
	CHECK(got.compression_type == COMPRESSION_ZSTD && header_geom(&got).subclusters);
	CHECK(got.feature_table.n == FEATURE_TABLE_BYTES);
	CHECK(header_encode(again, &got, &e) == 0 && !memcmp(again, cluster, 65536));
}

int main(void)
{
	RUN(a_list_may_end_with_the_file_but_not_inside_an_extension);
	RUN(odd_header_lengths_are_read_and_kept);
	RUN(a_header_that_fills_its_cluster_reads_but_has_no_room_to_grow);
	RUN(strings_may_come_twice_pointers_not);
	RUN(the_crypto_extension_goes_with_method_2_only);
	RUN(bitmaps_count_only_with_their_autoclear_bit);
	RUN(an_empty_data_file_name_is_not_none);
	RUN(unknown_extensions_keep_their_order_and_bytes);
	RUN(a_torn_list_is_not_written);
	RUN(the_feature_table_is_only_for_roomy_version_3_headers);
	RUN(a_backing_name_must_lie_in_the_first_cluster);
	RUN(extensions_end_where_the_backing_name_begins);
	RUN(a_name_that_does_not_fit_is_refused);
	RUN(everything_together_survives_a_round_trip);
	return DONE();
}
