#include "crypt/af.h"

#include "base/align.h"
#include "base/secret.h"
#include "crypt/random.h"

static void xor_into(uint8_t *to, const uint8_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] ^= from[i];
}

/* Each piece of a digest's length becomes its own digest, its number in front. */
static void diffuse(const struct nettle_hash *h, uint8_t *block, size_t n)
{
	size_t step = hash_len(h);
	uint8_t number[4];
	uint32_t nr = 0;

	for (size_t at = 0; at < n; at += step, nr++) {
		size_t len = MIN(step, n - at);

		be32_put(number, nr);
		hash_of(h, (struct bytes){ number, sizeof number },
			(struct bytes){ block + at, len }, block + at, len);
	}
}

/* What all stripes but the last come to. */
static void fold(const struct nettle_hash *h, const uint8_t *split, size_t n, unsigned stripes,
		 uint8_t *block)
{
	memset(block, 0, n);
	for (unsigned i = 0; i + 1 < stripes; i++) {
		xor_into(block, split + i * n, n);
		diffuse(h, block, n);
	}
}

int af_split(const struct nettle_hash *h, const uint8_t *key, size_t n, unsigned stripes,
	     uint8_t *split, struct err *e)
{
	uint8_t *last = split + (stripes - 1) * n;

	if (random_bytes(split, (stripes - 1) * n, e) < 0)
		return -1;
	fold(h, split, n, stripes, last);
	xor_into(last, key, n);
	return 0;
}

void af_merge(const struct nettle_hash *h, const uint8_t *split, size_t n, unsigned stripes,
	      uint8_t *key)
{
	fold(h, split, n, stripes, key);
	xor_into(key, split + (stripes - 1) * n, n);
}
