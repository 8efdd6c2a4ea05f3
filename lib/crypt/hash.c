#include "crypt/hash.h"

#include <nettle/nettle-meta.h>

#include "base/secret.h"
#include "crypt/hash_context.h"

/* cost: the time that PBKDF2 takes for one digest, SHA-256 being 1, with the library and a processor
 * that has instructions for SHA-1 and SHA-256; rounded up. */
static const struct known {
	const struct nettle_hash *hash;
	unsigned cost;
} known[] = {
	{ &nettle_sha256, 1 }, { &nettle_sha1, 1 },   { &nettle_sha512, 5 }, { &nettle_sha224, 1 },
	{ &nettle_sha384, 5 }, { &nettle_ripemd160, 4 }, { &nettle_md5, 2 },
};

const struct nettle_hash *hash_find(const char *name)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].hash->name, name) == 0)
			return known[i].hash;
	return NULL;
}

unsigned hash_cost(const struct nettle_hash *h)
{
	size_t i = 0;

	while (known[i].hash != h)
		i++;
	return known[i].cost;
}

size_t hash_len(const struct nettle_hash *h)
{
	return h->digest_size;
}

void hash_of(const struct nettle_hash *h, struct bytes head, struct bytes data, uint8_t *out,
	     size_t n)
{
	union hash_context c;

	h->init(&c);
	h->update(&c, head.n, head.p);
	h->update(&c, data.n, data.p);
	h->digest(&c, n, out);
	secret_wipe(&c, sizeof c);
}
