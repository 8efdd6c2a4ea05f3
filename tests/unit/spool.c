#include "out/spool.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static char *text;
static size_t text_len;

static FILE *memory(void)
{
	free(text);
	text = NULL;
	return open_memstream(&text, &text_len);
}

static void numbers_look_as_printf_makes_them(void)
{
	static const uint64_t values[] = { 0, 1, 9, 10, 15, 16, 255, 65536, 123456789,
					   UINT64_C(0x8000000000000000), UINT64_MAX };
	char want[64];

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		unsigned long long v = values[i];
		FILE *to = memory();
		struct spool s;

		CHECK(spool_begin(&s, to, false));
		spool_decimal(&s, v);
		spool_text(&s, ",");
		spool_hex(&s, v, 16);
		CHECK(spool_end(&s, true));
		fclose(to);
		snprintf(want, sizeof want, "%llu,%#-16llx", v, v);
		CHECK(strcmp(text, want) == 0);
	}
}

/* More than one buffer, in pieces that do not divide it. */
static void fill(struct spool *s, unsigned pieces)
{
	for (unsigned i = 0; i < pieces; i++)
		spool_text(s, "seventeen letters");
}

static bool filled(unsigned pieces)
{
	if (text_len != pieces * (size_t)17)
		return false;
	for (unsigned i = 0; i < pieces; i++)
		if (memcmp(text + i * (size_t)17, "seventeen letters", 17) != 0)
			return false;
	return true;
}

static void what_is_held_comes_out_whole_or_not_at_all(void)
{
	static const unsigned sizes[] = { 0, 1, 1000, 600000 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int ok = 0; ok <= 1; ok++) {
			FILE *to = memory();
			struct spool s;

			CHECK(spool_begin(&s, to, true));
			fill(&s, sizes[i]);
			CHECK(spool_end(&s, ok));
			fclose(to);
			CHECK(ok ? filled(sizes[i]) : text_len == 0);
		}
}

static void what_is_too_long_to_hold_comes_out_as_it_is_made(void)
{
	FILE *to = memory();
	struct spool s;

	CHECK(spool_begin(&s, to, true));
	s.held_max = 20 << 20;
	fill(&s, 1000000); /* once the buffer, which is 16 MiB, and nothing more fits */
	fflush(to);
	CHECK(text_len == 0);
	fill(&s, 1500000);
	fflush(to);
	CHECK(text_len > 0);
	CHECK(spool_end(&s, true));
	fclose(to);
	CHECK(filled(2500000));
}

static void a_stream_keeps_what_came_before_a_failure(void)
{
	FILE *to = memory();
	struct spool s;

	CHECK(spool_begin(&s, to, false));
	fill(&s, 10000);
	CHECK(spool_end(&s, false));
	fclose(to);
	CHECK(filled(10000));
}

static void a_full_device_is_noticed(void)
{
	FILE *to = fopen("/dev/full", "w");
	struct spool s;

	if (!to)
		return;
	setvbuf(to, NULL, _IONBF, 0);
	CHECK(spool_begin(&s, to, false));
	fill(&s, 10000);
	CHECK(!spool_end(&s, true));
	CHECK(ferror(to));
	fclose(to);
}

int main(void)
{
	RUN(numbers_look_as_printf_makes_them);
	RUN(what_is_held_comes_out_whole_or_not_at_all);
	RUN(what_is_too_long_to_hold_comes_out_as_it_is_made);
	RUN(a_stream_keeps_what_came_before_a_failure);
	RUN(a_full_device_is_noticed);
	free(text);
	return DONE();
}
