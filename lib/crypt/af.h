#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "crypt/hash.h"

/* The anti-forensic splitter of LUKS (7.4): a key of n bytes (1..HASH_DIGEST_MAX) becomes `stripes`
 * (> 1) times as many bytes, all of which are needed to get it back. `split`: n * stripes bytes. */
int af_split(const struct nettle_hash *h, const uint8_t *key, size_t n, unsigned stripes,
	     uint8_t *split, struct err *e) MUST_CHECK;
void af_merge(const struct nettle_hash *h, const uint8_t *split, size_t n, unsigned stripes,
	      uint8_t *key);
