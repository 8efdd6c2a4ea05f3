#include "check.h"

#include "base/bytes.h"
#include "bytes_help.h"
#include "format/header_ext.h"
#include "format/limits.h"

static uint8_t buf[1024];

/* Walks the whole list in memory that ends after n bytes; counts extensions, -1 on error. */
static int walk(const uint8_t *list, size_t n, struct err *e)
{
	uint8_t *exact = exact_copy(list, n);
	struct rd r = rd_over(exact, n);
	struct header_ext x;
	int nr = 0, more;

	*e = ERR_INIT;
	while ((more = header_ext_next(&r, &x, e)) > 0)
		nr++;
	free(exact);
	return more < 0 ? -1 : nr;
}

static void a_list_is_walked_to_its_end_marker(void)
{
	struct err e;
	size_t n = hex("e2792aca 00000003 726177 0102030405 00000000 00000000 ffffffff ffffffff",
		       buf);

	CHECK(walk(buf, n, &e) == 1 && !err_is(&e));
	CHECK(walk(buf, 0, &e) == 0);
	CHECK(walk(buf, 16, &e) == 1); /* ends without a marker */
	CHECK(walk(buf, 11, &e) == 1); /* and without its last padding */
}

static void any_cut_is_refused(void)
{
	size_t n = hex("11111111 00000003 6162630000000000 22222222 0000000c"
		       "0102030405060708090a0b0c", buf);
	struct err e;

	for (size_t cut = 0; cut <= n; cut++) {
		int want = cut == 0 ? 0 : cut >= 11 && cut <= 16 ? 1 : cut == n ? 2 : -1;

		CHECK(walk(buf, cut, &e) == want && (want >= 0 || e.code == ERR_CORRUPT));
	}
}

static void huge_lengths_do_not_wrap(void)
{
	static const uint32_t lengths[] = { 9, 16, 0x7fffffff, 0xfffffff0, 0xfffffff8,
					    0xfffffff9, 0xffffffff };
	struct err e;

	memset(buf, 0, 16);
	buf[3] = 1;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		be32_put(buf + 4, lengths[i]);
		CHECK(walk(buf, 16, &e) == -1 && err_says(&e, ERR_CORRUPT, "is too large"));
	}
}

static void extensions_survive_a_round_trip_at_every_length(void)
{
	for (size_t len = 0; len < 40; len++) {
		struct header_ext x = { 0x12345678, { (const uint8_t *)"abcdefghijklmnopqrstuvwxyz"
							 "abcdefghijklmnopqrstuvwxyz", len } },
				  got;
		struct wr w = wr_over(buf, sizeof buf);
		struct err e = ERR_INIT;
		struct rd r;

		memset(buf, 0xee, sizeof buf);
		header_ext_encode(&w, &x);
		header_ext_encode(&w, &(struct header_ext){ EXT_END });
		CHECK(!w.failed && w.pos % 8 == 0 && w.pos == 8 + (len + 7) / 8 * 8 + 8);
		r = rd_over(buf, w.pos);
		CHECK(header_ext_next(&r, &got, &e) == 1 && got.type == x.type);
		CHECK(bytes_same(got.data, x.data));
		for (size_t i = 8 + len; i < w.pos; i++)
			CHECK(!buf[i]);
		CHECK(header_ext_next(&r, &got, &e) == 0);
	}
}

static void nothing_is_written_past_the_room(void)
{
	struct header_ext x = { 1, { (const uint8_t *)"abc", 3 } };

	for (size_t n = 0; n < 16; n++) {
		uint8_t *exact = exact_copy(buf, n);
		struct wr w = wr_over(exact, n);

		header_ext_encode(&w, &x);
		CHECK(w.failed);
		free(exact);
	}
}

static int bitmaps(const char *text, size_t n, struct bitmaps_ext *b, struct err *e)
{
	uint8_t bytes[64], *exact;
	int ret;

	hex(text, bytes);
	exact = exact_copy(bytes, n);
	*e = ERR_INIT;
	ret = bitmaps_ext_decode((struct bytes){ exact, n }, b, e);
	free(exact);
	return ret;
}

static bool bitmaps_refused(const char *text, const char *says)
{
	struct bitmaps_ext b;
	struct err e;

	return bitmaps(text, 24, &b, &e) == -1 && err_says(&e, ERR_CORRUPT, says);
}

static void the_bitmaps_extension_is_read_and_checked(void)
{
	static const char good[] = "00000002 00000000 0000000000000048 00000000000c0000";
	struct bitmaps_ext b;
	struct err e;
	struct wr w = wr_over(buf, sizeof buf);
	uint8_t want[32];

	CHECK(bitmaps(good, 24, &b, &e) == 0);
	CHECK(b.nr == 2 && b.directory_len == 72 && b.directory_off == 0xc0000);
	bitmaps_ext_encode(&w, &b);
	CHECK(w.pos == EXT_BITMAPS_BYTES && hex(good, want) == 24 && !memcmp(buf, want, 24));
	for (size_t n = 0; n < 32; n++)
		CHECK(n == 24 || (bitmaps(good, n, &b, &e) == -1 && e.code == ERR_CORRUPT));
	CHECK(bitmaps_refused("00000000 00000000 0000000000000048 00000000000c0000", "0 bitmaps"));
	CHECK(bitmaps_refused("00010000 00000000 0000000000000048 00000000000c0000", "65536"));
	CHECK(bitmaps_refused("00000002 00000001 0000000000000048 00000000000c0000", "reserved"));
	CHECK(bitmaps_refused("00000002 00000000 0000000000000000 00000000000c0000", "of 0 bytes"));
	CHECK(bitmaps_refused("00000002 00000000 0000000003fffc01 00000000000c0000", "67107841"));
	CHECK(bitmaps_refused("00000002 00000000 0000000000000048 0000000000000000", "at 0x0"));
	CHECK(bitmaps_refused("00000002 00000000 0000000000000048 7fffffffffffffff", "at 0x7f"));
	CHECK(bitmaps_refused("00000002 00000000 0000000000000048 ffffffffffff0000", "at 0xff"));
	CHECK(bitmaps("0000ffff 00000000 0000000003fffc00 7ffffffff0000000", 24, &b, &e) == 0);
}

static int crypto(const char *text, size_t n, struct crypto_ext *c, struct err *e)
{
	uint8_t bytes[64], *exact;
	int ret;

	hex(text, bytes);
	exact = exact_copy(bytes, n);
	*e = ERR_INIT;
	ret = crypto_ext_decode((struct bytes){ exact, n }, c, e);
	free(exact);
	return ret;
}

static void the_crypto_extension_is_read_and_checked(void)
{
	static const char good[] = "0000000000040000 00000000001f9000";
	struct crypto_ext c;
	struct err e;
	struct wr w = wr_over(buf, sizeof buf);
	uint8_t want[32];

	CHECK(crypto(good, 16, &c, &e) == 0);
	CHECK(c.header_off == 0x40000 && c.header_len == 0x1f9000);
	crypto_ext_encode(&w, &c);
	CHECK(w.pos == EXT_CRYPTO_HEADER_BYTES && hex(good, want) == 16 && !memcmp(buf, want, 16));
	for (size_t n = 0; n < 24; n++)
		CHECK(n == 16 || (crypto(good, n, &c, &e) == -1 && e.code == ERR_CORRUPT));
	CHECK(crypto("0000000000000000 0000000000001000", 16, &c, &e) == -1);
	CHECK(crypto("8000000000000000 0000000000001000", 16, &c, &e) == -1);
	CHECK(crypto("7fffffffffff0000 0000000000010000", 16, &c, &e) == -1);
	CHECK(crypto("0000000000010000 ffffffffffffffff", 16, &c, &e) == -1);
	CHECK(err_says(&e, ERR_CORRUPT, "crypto header of 18446744073709551615 bytes"));
}

static void feature_names_are_found_by_word_and_bit(void)
{
	struct wr w = wr_over(buf, sizeof buf);
	struct bytes table = { buf, FEATURE_TABLE_BYTES };

	feature_table_encode(&w);
	CHECK(w.pos == FEATURE_TABLE_BYTES && !w.failed);
	CHECK(bytes_are(feature_table_find(table, FEATURE_INCOMPATIBLE, 0), "dirty bit"));
	CHECK(bytes_are(feature_table_find(table, FEATURE_INCOMPATIBLE, 1), "corrupt bit"));
	CHECK(bytes_are(feature_table_find(table, FEATURE_INCOMPATIBLE, 2), "external data file"));
	CHECK(bytes_are(feature_table_find(table, FEATURE_INCOMPATIBLE, 3), "compression type"));
	CHECK(bytes_are(feature_table_find(table, FEATURE_INCOMPATIBLE, 4), "extended L2 entries"));
	CHECK(bytes_are(feature_table_find(table, FEATURE_COMPATIBLE, 0), "lazy refcounts"));
	CHECK(bytes_are(feature_table_find(table, FEATURE_AUTOCLEAR, 0), "bitmaps"));
	CHECK(bytes_are(feature_table_find(table, FEATURE_AUTOCLEAR, 1), "raw external data"));
	CHECK(!feature_table_find(table, FEATURE_INCOMPATIBLE, 5).n);
	CHECK(!feature_table_find((struct bytes){ NULL, 0 }, FEATURE_INCOMPATIBLE, 0).n);
}

static void a_torn_feature_table_is_used_as_far_as_it_goes(void)
{
	struct wr w = wr_over(buf, sizeof buf);

	feature_table_encode(&w);
	memset(buf + 48 + 2, 'x', FEATURE_NAME_BYTES); /* a name without an end */
	for (size_t n = 0; n < 3 * FEATURE_ENTRY_BYTES; n++) {
		uint8_t *exact = exact_copy(buf, n);
		struct bytes table = { exact, n };

		CHECK(feature_table_find(table, 0, 0).n == (n < 48 ? 0u : 9u));
		CHECK(feature_table_find(table, 0, 1).n == (n < 96 ? 0u : 46u));
		CHECK(feature_table_find(table, 0, 2).n == 0);
		free(exact);
	}
}

int main(void)
{
	RUN(a_list_is_walked_to_its_end_marker);
	RUN(any_cut_is_refused);
	RUN(huge_lengths_do_not_wrap);
	RUN(extensions_survive_a_round_trip_at_every_length);
	RUN(nothing_is_written_past_the_room);
	RUN(the_bitmaps_extension_is_read_and_checked);
	RUN(the_crypto_extension_is_read_and_checked);
	RUN(feature_names_are_found_by_word_and_bit);
	RUN(a_torn_feature_table_is_used_as_far_as_it_goes);
	return DONE();
}
