#include "check.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/size.h"
#include "base/text.h"

static bool parses(const char *text, uint64_t want)
{
	uint64_t got;

	return size_parse(text, &got) == SIZE_OK && got == want;
}

static bool fails(const char *text, enum size_result how)
{
	uint64_t got;

	return size_parse(text, &got) == how;
}

static void sizes_are_parsed_exactly(void)
{
	CHECK(parses("1k", 1024) && parses("1K", 1024) && parses("1b", 1));
	CHECK(parses("512B", 512) && parses("0x1000", 4096) && parses("010", 10));
	CHECK(parses("+1M", 1 << 20) && parses(" \t1M", 1 << 20));
	CHECK(parses("1.b", 1) && parses("512.0", 512) && parses("7.", 7));
	CHECK(parses("1.5M", 1572864) && parses("0.1k", 102) && parses("5.M", 5242880));
	CHECK(parses("0.00048828125k", 1)); /* half a byte goes up */
	CHECK(parses("0x1E", 30) && parses("7E", UINT64_C(7) << 60));
	CHECK(parses("9223372036854775807", INT64_MAX));
	CHECK(parses("7.9999999999999999999E", INT64_MAX) || fails("7.9999999999999999999E", SIZE_OUT_OF_RANGE));
}

static void what_is_not_a_size_is_refused(void)
{
	static const char *const bad[] = { "", "abc", "nan", "inf", "0x", "0x1.8M", "0x1p10",
					   "1,5M", "1Mi", "1MB", "1KiB", "1M5", "1e3", "1e3k",
					   ".5M", "1.5", "1M ", "-1", "1.5b", "++1" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(fails(bad[i], SIZE_MALFORMED));
	CHECK(fails("8E", SIZE_OUT_OF_RANGE) && fails("16E", SIZE_OUT_OF_RANGE));
	CHECK(fails("9223372036854775808", SIZE_OUT_OF_RANGE));
	CHECK(fails("99999999999999999999", SIZE_OUT_OF_RANGE));
	CHECK(fails("0x10k", SIZE_HEX_SUFFIX));
}

static bool renders(uint64_t bytes, const char *want)
{
	char buf[SIZE_TEXT_MAX];

	return !strcmp(size_render(bytes, buf), want);
}

static void sizes_are_rendered_with_three_digits(void)
{
	CHECK(renders(0, "0 B") && renders(512, "512 B") && renders(999, "999 B"));
	CHECK(renders(1000, "0.977 KiB") && renders(1024, "1 KiB") && renders(1536, "1.5 KiB"));
	CHECK(renders(196 << 10, "196 KiB") && renders(1000 << 10, "0.977 MiB"));
	CHECK(renders(64 << 20, "64 MiB") && renders(UINT64_C(1) << 60, "1 EiB"));
}

static void cursors_never_overrun(void)
{
	uint8_t two[2] = { 1, 2 };
	struct rd r = rd_over(two, 2);
	struct wr w = wr_over(two, 2);

	CHECK(rd_be16(&r) == 0x102 && !r.failed);
	CHECK(rd_u8(&r) == 0 && r.failed && rd_left(&r) == 0);
	wr_be32(&w, 7);
	CHECK(w.failed && two[0] == 1);
}

static void zero_runs_are_found_at_any_length(void)
{
	static uint8_t buf[1000];
	bool zero;

	for (size_t n = 0; n <= sizeof buf; n += 7)
		CHECK(bytes_are_zero(buf, n));
	for (size_t i = 0; i < sizeof buf; i++) {
		buf[i] = 1;
		CHECK(!bytes_are_zero(buf, sizeof buf) && !bytes_are_zero(buf + i, 1));
		CHECK(bytes_are_zero(buf, i));
		CHECK(bytes_zero_run(buf, sizeof buf, 100, &zero) == (i / 100 ? i / 100 * 100 : 100));
		buf[i] = 0;
	}
}

static void hostile_text_is_harmless(void)
{
	char out[64];

	CHECK(!strcmp(text_escape("plain \xc3\xa4", 8, out, sizeof out), "plain \xc3\xa4"));
	CHECK(!strcmp(text_escape("a\033[2J\n", 6, out, sizeof out), "a\\x1b[2J\\x0a"));
	CHECK(!strcmp(text_escape("\xe2\x80\xae!", 4, out, sizeof out), "\\u{202e}!"));
	CHECK(!strcmp(text_escape("\xff\xc0\x80", 3, out, sizeof out), "\\xff\\xc0\\x80"));
	CHECK(!strcmp(text_escape("\xed\xa0\x80", 3, out, sizeof out), "\\xed\\xa0\\x80"));
	CHECK(!strcmp(text_escape("abcdefghij", 10, out, 8), "abcd..."));
	CHECK(!strcmp(text_escape("abcdefg", 7, out, 8), "abcdefg"));
}

static void text_is_kept_as_it_is(void)
{
	char out[8];

	CHECK(!strcmp(text_keep("a\033\xff", 3, out, sizeof out), "a\033\xff"));
	CHECK(!strcmp(text_keep("ab\0cd", 5, out, sizeof out), "ab"));
	CHECK(!strcmp(text_keep(NULL, 0, out, sizeof out), ""));
	CHECK(!strcmp(text_keep("abcdefg", 7, out, sizeof out), "abcdefg"));
	CHECK(!strcmp(text_keep("abcdefgh", 8, out, sizeof out), "abcdefg"));
	/* never half a character */
	CHECK(!strcmp(text_keep("abcdef\xc3\xa4", 8, out, sizeof out), "abcdef"));
	CHECK(!strcmp(text_keep("abcde\xe2\x82\xac", 8, out, sizeof out), "abcde"));
	CHECK(!strcmp(text_keep("\x80\x80\x80\x80\x80\x80\x80\x80", 8, out, sizeof out),
		      "\x80\x80\x80\x80"));
}

static void the_first_cause_wins(void)
{
	struct err e = ERR_INIT;

	CHECK(err_set(&e, ERR_CORRUPT, "entry %d", 17) == -1);
	err_set(&e, ERR_IO, "later");
	err_ctx(&e, "disk");
	CHECK(e.code == ERR_CORRUPT && !strcmp(e.text, "disk: entry 17"));
}

int main(void)
{
	RUN(sizes_are_parsed_exactly);
	RUN(what_is_not_a_size_is_refused);
	RUN(sizes_are_rendered_with_three_digits);
	RUN(cursors_never_overrun);
	RUN(zero_runs_are_found_at_any_length);
	RUN(hostile_text_is_harmless);
	RUN(text_is_kept_as_it_is);
	RUN(the_first_cause_wins);
	return DONE();
}
