#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/watch.h"
#include "crypt/hash.h"

/* Keys from passphrases: PBKDF2 with HMAC (RFC 8018). Fails only when it is stopped. */
int kdf_pbkdf2(const struct nettle_hash *h, struct bytes pass, struct bytes salt,
	       uint32_t iterations, const struct watch *watch, uint8_t *out, size_t n,
	       struct err *e) MUST_CHECK;

/* How many iterations take about `ms` milliseconds of this processor's time for n bytes of output.
 * Measures for some 50 ms. */
uint64_t kdf_iterations(const struct nettle_hash *h, size_t n, uint64_t ms);
