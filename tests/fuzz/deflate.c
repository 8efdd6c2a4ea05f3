#include "fuzz.h"

#include "codec/codec_internal.h"

/* The first byte chooses the size of the cluster, the rest is a stream. What zlib reads must
 * be read alike with what makes it fast, and survive being packed. What zlib refuses may be
 * read only if the fault is that a set of codes is incomplete: ISA-L minds only when a code
 * is met that is not in the set. */
static void packed_again(struct codec *c, const uint8_t *in, size_t n)
{
	uint8_t *packed = malloc(n), *out = malloc(n);
	size_t len = codec_pack(c, in, n, packed);
	struct err e = ERR_INIT;

	AGREE(len < n);
	if (len)
		AGREE(codec_unpack(c, packed, len, out, n, &e) == 0 && !memcmp(in, out, n));
	free(packed);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct codec *plain, *fast;
	struct err e = ERR_INIT, f = ERR_INIT;

	if (size == 0)
		return 0;
	if (!plain) {
		plain = deflate_new(CODEC_LEVEL_DEFAULT, false, &e);
		fast = deflate_new(CODEC_LEVEL_DEFAULT, true, &e);
	}

	size_t n = (size_t)512 << data[0] % 9;
	uint8_t *one = calloc(1, n), *two = calloc(1, n);
	int a = codec_unpack(plain, data + 1, size - 1, one, n, &e);
	int b = codec_unpack(fast, data + 1, size - 1, two, n, &f);

	if (a < 0) {
		fuzz_refused(&e);
		AGREE(b < 0 ? !strcmp(e.text, f.text) : strstr(e.text, " set") != NULL);
	} else {
		AGREE(b == 0);
		AGREE(!memcmp(one, two, n));
		packed_again(plain, one, n);
		packed_again(fast, one, n);
	}
	free(one);
	free(two);
	return 0;
}
