#include "check.h"

#include "base/bytes.h"
#include "bytes_help.h"
#include "format/bitmap_entry.h"
#include "format/limits.h"

static const char DIRECTORY[] = /* "bm0" and "second-bm" */
	"0000 0000 000a 0000 0000 0001 0000 0002 0109 0003 0000 0000 626d 3000 0000 0000"
	"0000 0000 000b 0000 0000 0001 0000 0000 0110 0009 0000 0000 7365 636f 6e64 2d62"
	"6d00 0000 0000 0000";

static uint8_t buf[4096];

static void the_documented_directory_survives_unchanged(void)
{
	struct err e = ERR_INIT;
	struct bitmap_entry b, c;
	uint8_t dir[128];
	size_t n = hex(DIRECTORY, dir);
	struct rd r = rd_over(dir, n);
	struct wr w = wr_over(buf, sizeof buf);

	CHECK(n == 72 && bitmap_entry_decode(&r, &b, &e) == 0 && r.pos == 32);
	CHECK(b.table_off == 0xa0000 && b.table_nr == 1 && b.flags == BITMAP_AUTO);
	CHECK(b.granularity_bits == 9 && bytes_are(b.name, "bm0") && !b.extra.n);
	CHECK(bitmap_entry_decode(&r, &c, &e) == 0 && r.pos == 72);
	CHECK(bytes_are(c.name, "second-bm") && c.granularity_bits == 16 && !c.flags);
	CHECK(bitmap_entry_len(&b) == 32 && bitmap_entry_len(&c) == 40);
	memset(buf, 0xee, sizeof buf);
	bitmap_entry_encode(&w, &b);
	bitmap_entry_encode(&w, &c);
	CHECK(w.pos == n && !w.failed && !memcmp(buf, dir, n));
}

/* Decodes one entry from memory that ends after n bytes. */
static int decodes(const uint8_t *bytes, size_t n, struct err *e)
{
	uint8_t *exact = exact_copy(bytes, n);
	struct rd r = rd_over(exact, n);
	struct bitmap_entry b;
	int ret;

	*e = ERR_INIT;
	ret = bitmap_entry_decode(&r, &b, e);
	free(exact);
	return ret;
}

static void any_cut_is_refused(void)
{
	struct err e;

	hex(DIRECTORY, buf);
	for (size_t n = 0; n < 32; n++)
		CHECK(decodes(buf, n, &e) == -1 && err_says(&e, ERR_CORRUPT, "past the end"));
	CHECK(decodes(buf, 32, &e) == 0);
}

static void every_field_out_of_range_is_refused(void)
{
	static const struct {
		unsigned at, width;
		uint64_t value;
		enum err_code code; /* ERR_NONE: fine */
		const char *says;
	} cases[] = {
		{ 0, 8, 0, ERR_CORRUPT, "bitmap table at 0x0" },
		{ 0, 8, UINT64_C(1) << 63, ERR_CORRUPT, "bitmap table at 0x8000000000000000" },
		{ 8, 4, 0, ERR_CORRUPT, "table of 0 entries" },
		{ 8, 4, 0x8000000, ERR_NONE, "" },
		{ 8, 4, 0x8000001, ERR_CORRUPT, "table of 134217729 entries" },
		{ 12, 4, 0xffffffff, ERR_NONE, "" },
		{ 16, 1, 0, ERR_UNSUPPORTED, "bitmap type 0" },
		{ 16, 1, 2, ERR_UNSUPPORTED, "bitmap type 2" },
		{ 17, 1, 8, ERR_UNSUPPORTED, "granularity of 2^8" },
		{ 17, 1, 31, ERR_NONE, "" },
		{ 17, 1, 32, ERR_UNSUPPORTED, "granularity of 2^32" },
		{ 18, 2, 0, ERR_CORRUPT, "name of 0 bytes" },
		{ 18, 2, 1023, ERR_NONE, "" },
		{ 18, 2, 1024, ERR_CORRUPT, "name of 1024 bytes" },
		{ 20, 4, 8, ERR_NONE, "" },
		{ 20, 4, 0xffffffff, ERR_CORRUPT, "past the end" },
	};
	struct err e;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		memset(buf, 0, sizeof buf);
		hex(DIRECTORY, buf);
		for (unsigned k = 0; k < cases[i].width; k++)
			buf[cases[i].at + k] = (uint8_t)(cases[i].value >> (8 * (cases[i].width - 1 - k)));
		CHECK(decodes(buf, sizeof buf, &e) == (cases[i].code ? -1 : 0));
		CHECK(e.code == cases[i].code && strstr(e.text, cases[i].says));
	}
}

static void names_and_extra_data_of_every_length_survive(void)
{
	static uint8_t text[1100];

	memset(text, 'n', sizeof text);
	for (size_t len = 1; len <= BITMAP_NAME_MAX; len += len < 20 ? 1 : 59)
		for (size_t extra = 0; extra < 20; extra++) {
			struct bitmap_entry b = { .table_off = 0x10000, .table_nr = 5, .type = 1,
						  .flags = BITMAP_EXTRA_COMPATIBLE,
						  .granularity_bits = 20, .name = { text, len },
						  .extra = { text, extra } }, c;
			struct wr w = wr_over(buf, sizeof buf);
			struct err e = ERR_INIT;
			struct rd r;

			bitmap_entry_encode(&w, &b);
			CHECK(!w.failed && w.pos == bitmap_entry_len(&b) && w.pos % 8 == 0);
			r = rd_over(buf, w.pos);
			CHECK(bitmap_entry_decode(&r, &c, &e) == 0 && r.pos == w.pos);
			CHECK(bytes_same(b.name, c.name) && bytes_same(b.extra, c.extra));
			CHECK(c.flags == b.flags && c.table_off == b.table_off);
			CHECK(c.table_nr == 5 && c.granularity_bits == 20);
		}
}

static void nothing_is_written_past_the_room(void)
{
	struct bitmap_entry b = { .table_off = 0x10000, .name = { (const uint8_t *)"b", 1 } };

	for (size_t n = 0; n < 32; n++) {
		uint8_t *exact = exact_copy(buf, n);
		struct wr w = wr_over(exact, n);

		bitmap_entry_encode(&w, &b);
		CHECK(w.failed);
		free(exact);
	}
}

static void table_entries_are_split_and_joined(void)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t raw = UINT64_C(1) << bit;
		struct bitmap_table_entry x = bitmap_table_entry_decode(raw);

		CHECK(x.all_ones == (bit == 0));
		CHECK(x.data_off == (bit >= 9 && bit <= 55 ? raw : 0));
		CHECK(x.reserved == (bit > 55 || (bit > 0 && bit < 9) ? raw : 0));
		CHECK(bitmap_table_entry_encode(&x) == raw);
	}
}

static void tables_are_as_long_as_the_disk_needs(void)
{
	CHECK(bitmap_table_entries(0, 16, 16) == 0);
	CHECK(bitmap_table_entries(1, 16, 16) == 1);
	CHECK(bitmap_table_entries(UINT64_C(1) << 35, 16, 16) == 1);
	CHECK(bitmap_table_entries((UINT64_C(1) << 35) + 1, 16, 16) == 2);
	CHECK(bitmap_table_entries(2097152, 9, 9) == 1);
	CHECK(bitmap_table_entries(2097152 + 512, 9, 9) == 2);
	CHECK(bitmap_table_entries(INT64_MAX, 9, 9) == UINT64_C(1) << 42);
	CHECK(bitmap_table_entries(UINT64_MAX, 31, 21) == 512);
}

int main(void)
{
	RUN(the_documented_directory_survives_unchanged);
	RUN(any_cut_is_refused);
	RUN(every_field_out_of_range_is_refused);
	RUN(names_and_extra_data_of_every_length_survive);
	RUN(nothing_is_written_past_the_room);
	RUN(table_entries_are_split_and_joined);
	RUN(tables_are_as_long_as_the_disk_needs);
	return DONE();
}
