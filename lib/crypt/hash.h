#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* A hash of nettle's, by the name that LUKS headers know it by. */
struct nettle_hash;

#define HASH_DIGEST_MAX 64

/* NULL: there is none of that name. */
const struct nettle_hash *hash_find(const char *name);
size_t hash_len(const struct nettle_hash *h);
/* How long an iteration of PBKDF2 takes per digest, in units of what SHA-256 takes. Of one that
 * hash_find() found. */
unsigned hash_cost(const struct nettle_hash *h);

/* The digest of `head`, then `data`, cut to n bytes (at most hash_len()). */
void hash_of(const struct nettle_hash *h, struct bytes head, struct bytes data, uint8_t *out,
	     size_t n);
