#pragma once
#include "crypt/luks.h"

/* The hash that the header names; NULL: it is not supported. */
const struct nettle_hash *luks_hash(const struct luks_header *h, struct err *e);
/* What so many iterations for n bytes of key take, in digests of SHA-256. */
uint64_t luks_work(const struct nettle_hash *h, size_t n, uint32_t iterations);
/* How often PBKDF2 goes round to take about so long for n bytes of key. */
int luks_iterations(const struct nettle_hash *h, size_t n, uint64_t ms, uint32_t *iterations,
		    struct err *e);
/* What the header keeps of the master key, to tell it by. */
int luks_digest(const struct luks_header *h, const struct nettle_hash *hash,
		const struct luks_key *key, const struct watch *watch,
		uint8_t digest[LUKS_DIGEST_BYTES], struct err *e);
