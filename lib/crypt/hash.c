#include "crypt/hash.h"

#include <nettle/nettle-meta.h>

#include "base/secret.h"
#include "crypt/hash_context.h"

const struct nettle_hash *hash_find(const char *name)
{
	static const struct nettle_hash *const known[] = {
		&nettle_sha256, &nettle_sha1,	&nettle_sha512, &nettle_sha224,
		&nettle_sha384, &nettle_ripemd160, &nettle_md5,
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i]->name, name) == 0)
			return known[i];
	return NULL;
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
