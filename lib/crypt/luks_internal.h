#pragma once
#include "crypt/luks.h"

/* The hash that the header names; NULL: it is not supported. */
const struct nettle_hash *luks_hash(const struct luks_header *h, struct err *e);
/* How often PBKDF2 goes round to take about so long for n bytes of key. */
int luks_iterations(const struct nettle_hash *h, size_t n, uint64_t ms, uint32_t *iterations,
		    struct err *e);
/* What the header keeps of the master key, to tell it by. */
void luks_digest(const struct luks_header *h, const struct nettle_hash *hash,
		 const struct luks_key *key, uint8_t digest[sizeof h->digest]);
