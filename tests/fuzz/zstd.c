#include "fuzz.h"

#include "codec/codec_internal.h"

/* The first byte chooses the size of the cluster, the rest is frames. What was read once is
 * read again by a codec that has just failed, and survives being packed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct codec *c;
	struct err e = ERR_INIT, f = ERR_INIT;

	if (size == 0)
		return 0;
	if (!c)
		c = zstd_new(CODEC_LEVEL_DEFAULT, &e);

	size_t n = (size_t)512 << data[0] % 9;
	uint8_t *one = calloc(1, n), *two = calloc(1, n);

	if (codec_unpack(c, data + 1, size - 1, one, n, &e) < 0) {
		fuzz_refused(&e);
	} else {
		AGREE(codec_unpack(c, "damage", 6, two, n, &f) < 0);
		AGREE(codec_unpack(c, data + 1, size - 1, two, n, &e) == 0);
		AGREE(!memcmp(one, two, n));

		size_t len = codec_pack(c, one, n, two);
		uint8_t *packed = malloc(n);

		AGREE(len < n);
		memcpy(packed, two, len);
		if (len)
			AGREE(codec_unpack(c, packed, len, two, n, &e) == 0 &&
			      !memcmp(one, two, n));
		free(packed);
	}
	free(one);
	free(two);
	return 0;
}
