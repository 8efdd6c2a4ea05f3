#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "crypt/hash.h"

/* Keys from passphrases: PBKDF2 with HMAC (RFC 8018). */
void kdf_pbkdf2(const struct nettle_hash *h, struct bytes pass, struct bytes salt,
		uint32_t iterations, uint8_t *out, size_t n);

/* How many iterations take about `ms` milliseconds of this processor's time for n bytes of output.
 * Measures for some 50 ms. */
uint64_t kdf_iterations(const struct nettle_hash *h, size_t n, uint64_t ms);
