#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "codec/codec.h"
#include "codec/codec_internal.h"

/* The clusters of the tests, from worst to best to compress. */
enum data { RANDOM, MIXED, TEXT, SPARSE, ZEROES, DATA_NR };

static uint32_t next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static uint8_t *data_new(enum data kind, size_t n, uint32_t seed)
{
	static const char *const words[] = { "the ", "cluster ", "of ", "an ", "image ",
					     "is ", "read\n", "table", "; ", "entry, " };
	uint8_t *p = calloc(1, n);
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < n && kind != ZEROES;) {
		uint32_t r = next(&x);
		const char *word = words[r % 10];

		if (kind == TEXT)
			for (; *word && i < n; word++)
				p[i++] = (uint8_t)*word;
		else if (kind == MIXED && i >= 64 && r % 3)
			for (size_t far = 1 + r / 3 % (i < 9000 ? i - 8 : 9000), l = r % 29;
			     l > 0 && i < n; l--, i++)
				p[i] = p[i - far];
		else if (kind == SPARSE && r % 64)
			i++;
		else
			p[i++] = (uint8_t)(r >> 11);
	}
	return p;
}

/* A stream must do with a window of 12 bits, also for readers that keep no more than that:
 * so the output is taken in small pieces, elsewhere each time. */
static bool small_window_reads(const uint8_t *packed, size_t len, const uint8_t *want, size_t n)
{
	uint8_t piece[2][251];
	z_stream z = { .next_in = (uint8_t *)packed, .avail_in = (uInt)len };
	size_t at = 0;
	int ret = inflateInit2(&z, -12);

	while (ret == Z_OK && at <= n) {
		uint8_t *out = piece[at / 251 % 2];

		z.next_out = out;
		z.avail_out = 251;
		ret = inflate(&z, Z_NO_FLUSH);

		size_t got = 251 - z.avail_out;

		if (at + got > n || memcmp(out, want + at, got))
			break;
		at += got;
	}
	inflateEnd(&z);
	return ret == Z_STREAM_END && at == n && z.avail_in == 0;
}

static bool unpacks_to(struct codec *c, const uint8_t *packed, size_t len, const uint8_t *want,
		       size_t n)
{
	uint8_t *exact = malloc(len), *out = malloc(n);
	struct err e = ERR_INIT;
	bool same = codec_unpack(c, memcpy(exact, packed, len), len, out, n, &e) == 0 &&
		    !memcmp(out, want, n);

	free(exact);
	free(out);
	return same;
}

static bool refused(struct codec *c, const uint8_t *packed, size_t len, size_t n)
{
	uint8_t *exact = malloc(len ? len : 1), *out = malloc(n);
	struct err e = ERR_INIT;
	bool no = codec_unpack(c, memcpy(exact, packed, len), len, out, n, &e) == -1 &&
		  e.code == ERR_CORRUPT && e.text[0];

	free(exact);
	free(out);
	return no;
}

static void round_trip(struct codec *c, bool is_deflate, enum data kind, size_t n)
{
	uint8_t *in = data_new(kind, n, (uint32_t)n), *out = malloc(n);
	size_t len = codec_pack(c, in, n, out);

	CHECK(len < n);
	CHECK(kind == RANDOM ? len == 0 : len > 0);
	if (kind == ZEROES)
		CHECK(len <= n / 8);
	if (len) {
		CHECK(unpacks_to(c, out, len, in, n));
		CHECK(!is_deflate || small_window_reads(out, len, in, n));
	}
	free(in);
	free(out);
}

static struct codec *any_new(int which, int level)
{
	struct err e = ERR_INIT;

	return which == 2 ? zstd_new(level, &e) : deflate_new(level, which == 1, &e);
}

static void every_cluster_size_and_level_round_trips(void)
{
	static const int levels[3][8] = { { 0, 1, 2, 4, 6, 9, -1 },
					  { 0, 1, 5, 9, -1 },
					  { 0, 1, 3, 5, 9, 13, 19, -1 } };

	for (int which = 0; which < 3; which++)
		for (int l = 0; levels[which][l] >= 0; l++) {
			struct codec *c = any_new(which, levels[which][l]);
			size_t top = levels[which][l] > 3 ? 1 << 16 : 1 << 21;

			for (size_t n = 512; n <= top; n *= 2)
				for (enum data kind = 0; kind < DATA_NR; kind++)
					round_trip(c, which < 2, kind, n);
			codec_free(c);
		}
}

static void odd_lengths_round_trip(void)
{
	for (int which = 0; which < 3; which++) {
		struct codec *c = any_new(which, 0);
		uint8_t out[2];

		CHECK(codec_pack(c, "", 0, out) == 0 && codec_pack(c, "a", 1, out) == 0);
		CHECK(codec_pack(c, "aa", 2, out) < 2);
		for (size_t n = 100; n < 300000; n = n * 3 / 2 + 1)
			round_trip(c, which < 2, TEXT, n);
		codec_free(c);
	}
}

/* The bytes depend on the input alone: not on what the codec did before, */
static void the_past_leaves_no_trace(void)
{
	static const int levels[] = { 0, 1, 6, 9 };
	enum { N = 65536 };

	for (int i = 0; i < 12; i++) {
		struct codec *used = any_new(i % 3, levels[i / 3]);
		uint8_t *first = malloc(N), *again = malloc(N);

		for (uint32_t round = 0; round < 40; round++) {
			size_t n = round % 5 ? N : (size_t)512 << round % 7;
			uint8_t *in = data_new(round % DATA_NR, n, round);
			struct codec *fresh = any_new(i % 3, levels[i / 3]);
			size_t len = codec_pack(fresh, in, n, first);

			CHECK(codec_pack(used, in, n, again) == len && !memcmp(first, again, len));
			codec_free(fresh);
			free(in);
		}
		codec_free(used);
		free(first);
		free(again);
	}
}

/* nor on where it lies. Many small clusters, because a method that goes by addresses shows it once in thousands. */
static void the_place_leaves_no_trace(void)
{
	enum { SMALL = 512, ALL = 16 << 20 };
	uint8_t *in = data_new(MIXED, ALL, 11), one[SMALL], two[SMALL];

	for (int which = 0; which < 3; which++) {
		struct codec *a = any_new(which, 0);
		void *gap = malloc(1234567);
		struct codec *b = any_new(which, 0);
		size_t differ = 0;

		for (size_t at = 0; at < ALL; at += SMALL) {
			size_t len = codec_pack(a, in + at, SMALL, one);

			differ += codec_pack(b, in + at, SMALL, two) != len ||
				  memcmp(one, two, len);
		}
		CHECK(differ == 0);
		codec_free(a);
		codec_free(b);
		free(gap);
	}
	free(in);
}

/* A level is zlib's own, with and without an accelerator. */
static void a_stated_level_is_zlibs_own(void)
{
	enum { N = 65536 };
	uint8_t *in = data_new(MIXED, N, 7), *one = malloc(N), *two = malloc(N);

	for (int level = 1; level <= 9; level++) {
		struct codec *a = any_new(0, level), *b = any_new(1, level);
		size_t len = codec_pack(a, in, N, one);

		CHECK(len && len == codec_pack(b, in, N, two) && !memcmp(one, two, len));
		codec_free(a);
		codec_free(b);
	}
	free(in);
	free(one);
	free(two);
}

static void levels_out_of_range_are_refused(void)
{
	static const struct {
		enum codec_type type;
		int level;
	} bad[] = { { CODEC_DEFLATE, -1 }, { CODEC_DEFLATE, 10 }, { CODEC_ZSTD, 20 },
		    { CODEC_ZSTD, -5 } };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err e = ERR_INIT;

		CHECK(!codec_new(bad[i].type, bad[i].level, &e) && e.code == ERR_INVALID);
	}
	codec_free(NULL);
	CHECK(!strcmp(codec_name(CODEC_DEFLATE), "zlib") && !strcmp(codec_name(CODEC_ZSTD), "zstd"));
}

#define N 4096
#define ROOM (4 * N)

/* A stream for deflate's reader, made by zlib with any window and ending. */
static size_t zlib_stream(int window, const uint8_t *in, size_t n, int flush, uint8_t *out)
{
	z_stream z = { .next_in = (uint8_t *)in,
		       .avail_in = (uInt)n,
		       .next_out = out,
		       .avail_out = ROOM };

	deflateInit2(&z, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY);
	deflate(&z, flush);
	deflateEnd(&z);
	return ROOM - z.avail_out;
}

static void deflate_is_read_as_the_format_says(void)
{
	uint8_t *in = data_new(MIXED, 2 * N, 3), *s = calloc(1, ROOM);

	for (int accelerated = 0; accelerated < 2; accelerated++) {
		struct codec *c = any_new(accelerated, 0);
		size_t len = zlib_stream(-12, in, N, Z_FINISH, s);

		CHECK(unpacks_to(c, s, len, in, N));
		CHECK(unpacks_to(c, s, len + 100, in, N)); /* slack of the last sector */
		memset(s + len, 0xff, 100);
		CHECK(unpacks_to(c, s, len + 100, in, N));
		CHECK(unpacks_to(c, s, len, in, N - 1)); /* longer than the cluster */
		CHECK(unpacks_to(c, s, len, in, N / 2));
		CHECK(refused(c, s, len, N + 1)); /* shorter */
		for (size_t cut = 0; cut < len - 2; cut++) /* without the final block's end */
			CHECK(refused(c, s, cut, N));
		memset(s, 0, ROOM);
		len = zlib_stream(15, in, N, Z_FINISH, s); /* with a zlib header */
		CHECK(refused(c, s, len, N));
		memset(s, 0, ROOM);
		len = zlib_stream(-12, in, N, Z_SYNC_FLUSH, s); /* no final block, padding */
		CHECK(refused(c, s, len + 100, N));
		CHECK(refused(c, s, 0, N));
		codec_free(c);
	}
	free(in);
	free(s);
}

static void deflate_distances_up_to_15_bits_are_read(void)
{
	enum { LARGE = 65536, HALF = 32000 };
	uint8_t *in = data_new(RANDOM, LARGE, 5), *s = malloc(2 * LARGE);
	z_stream z = { .next_in = in, .avail_in = LARGE, .next_out = s, .avail_out = 2 * LARGE };

	memcpy(in + HALF, in, HALF);
	deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY);
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out < LARGE);
	for (int accelerated = 0; accelerated < 2; accelerated++) {
		struct codec *c = any_new(accelerated, 0);

		CHECK(unpacks_to(c, s, z.total_out, in, LARGE));
		codec_free(c);
	}
	deflateEnd(&z);
	free(in);
	free(s);
}

static void broken_deflate_is_refused(void)
{
	static const struct {
		uint8_t bytes[16];
		size_t len;
	} bad[] = {
		{ { 0x07 }, 16 },		       /* block type 3 */
		{ { 0x01, 0x05, 0x00, 0x00, 0x00 }, 16 }, /* stored, lengths disagree */
		{ { 0x4b, 0x04, 0x12 }, 16 },	       /* distance before the beginning */
		{ { 0x05, 0xff, 0xff, 0xff, 0xff }, 16 }, /* too many codes */
		{ { 0x03 }, 16 },		       /* an empty stream */
		{ { 0x00 }, 16 },
		{ { 0xff, 0xff, 0xff, 0xff }, 4 },
	};

	for (int accelerated = 0; accelerated < 2; accelerated++) {
		struct codec *c = any_new(accelerated, 0);

		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
			CHECK(refused(c, bad[i].bytes, bad[i].len, 512));
		codec_free(c);
	}
}

static size_t frame(uint8_t *out, const uint8_t *in, size_t n, bool checksum, bool size)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ZSTD_inBuffer i = { in, n, 0 };
	ZSTD_outBuffer o = { out, ROOM, 0 };

	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, checksum);
	ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, size);
	while (ZSTD_compressStream2(z, &o, &i, ZSTD_e_end) > 0)
		;
	ZSTD_freeCCtx(z);
	return o.pos;
}

static void zstd_is_read_as_the_format_says(void)
{
	static const uint8_t skip[] = { 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c' };
	uint8_t *in = data_new(TEXT, 2 * N, 3), *s = calloc(1, ROOM);
	struct codec *c = any_new(2, 0);

	for (int flags = 0; flags < 4; flags++) {
		size_t len = frame(s, in, N, flags & 1, flags & 2);

		CHECK(unpacks_to(c, s, len, in, N));
		memset(s + len, 0, 100); /* slack of the last sector */
		CHECK(unpacks_to(c, s, len + 100, in, N));
		memset(s + len, 0x28, 100);
		CHECK(unpacks_to(c, s, len + 100, in, N));
		CHECK(refused(c, s, len, N - 1)); /* holds more than a cluster */
		CHECK(refused(c, s, len, N + 1)); /* holds less */
		CHECK(refused(c, s, len + 100, N + 1));
		for (size_t cut = 0; cut < len; cut++)
			CHECK(refused(c, s, cut, N));

		size_t two = len + frame(s + len, in + N, N / 2, flags & 1, flags & 2);
		CHECK(unpacks_to(c, s, two, in, N + N / 2));
		CHECK(unpacks_to(c, s, two, in, N)); /* the second one is slack */
		CHECK(refused(c, s, two, N + N / 4));
		CHECK(refused(c, s, two, 2 * N));

		memcpy(s, skip, sizeof skip);
		len = sizeof skip + frame(s + sizeof skip, in, N, flags & 1, flags & 2);
		memcpy(s + len, skip, sizeof skip);
		len += sizeof skip;
		len += frame(s + len, in, 0, flags & 1, flags & 2); /* empty */
		len += frame(s + len, in + N, N, flags & 1, flags & 2);
		CHECK(unpacks_to(c, s, len, in, 2 * N));
	}
	codec_free(c);
	free(in);
	free(s);
}

static void a_wrong_zstd_checksum_is_refused(void)
{
	uint8_t *in = data_new(TEXT, N, 3), *s = calloc(1, ROOM);
	struct codec *c = any_new(2, 0);
	size_t len = frame(s, in, N, true, true);

	s[len - 1] ^= 1;
	CHECK(refused(c, s, len, N));
	s[len - 1] ^= 1;
	CHECK(unpacks_to(c, s, len, in, N)); /* the failure before left nothing behind */
	codec_free(c);
	free(in);
	free(s);
}

/* A frame may claim a window of 16 MiB for a raw block of 512 bytes. */
static void a_large_zstd_window_costs_nothing(void)
{
	static const uint8_t head[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x01, 0x10, 0x00 };
	struct codec *c = any_new(2, 0);
	uint8_t *in = data_new(RANDOM, 512, 9), s[sizeof head + 512];

	memcpy(s, head, sizeof head);
	memcpy(s + sizeof head, in, 512);
	CHECK(unpacks_to(c, s, sizeof s, in, 512));
	codec_free(c);
	free(in);
}

/* 6.4: what other readers see of our frames. */
static void zstd_frames_tell_their_size_and_carry_no_checksum(void)
{
	static const int levels[] = { 0, 1, 3, 19 };

	for (int i = 0; i < 4; i++) {
		struct codec *c = any_new(2, levels[i]);

		for (size_t n = 512; n <= 1 << 21; n *= 4) {
			uint8_t *in = data_new(TEXT, n, 1), *out = malloc(n);
			size_t len = codec_pack(c, in, n, out);

			CHECK(len && ZSTD_getFrameContentSize(out, len) == n);
			CHECK((out[4] & 4) == 0);
			CHECK(ZSTD_findFrameCompressedSize(out, len) == len);
			free(in);
			free(out);
		}
		codec_free(c);
	}
}

int main(void)
{
	RUN(every_cluster_size_and_level_round_trips);
	RUN(odd_lengths_round_trip);
	RUN(the_past_leaves_no_trace);
	RUN(the_place_leaves_no_trace);
	RUN(a_stated_level_is_zlibs_own);
	RUN(levels_out_of_range_are_refused);
	RUN(deflate_is_read_as_the_format_says);
	RUN(deflate_distances_up_to_15_bits_are_read);
	RUN(broken_deflate_is_refused);
	RUN(zstd_is_read_as_the_format_says);
	RUN(a_wrong_zstd_checksum_is_refused);
	RUN(a_large_zstd_window_costs_nothing);
	RUN(zstd_frames_tell_their_size_and_carry_no_checksum);
	return DONE();
}
