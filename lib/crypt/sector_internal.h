#pragma once
#include <nettle/nettle-meta.h>

#include "base/bytes.h"
#include "crypt/sector.h"

struct sector_cipher {
	struct cipher_spec spec;
	/* Scheduled keys, behind this struct; NULL: this mode needs none. */
	void *encrypt, *decrypt, *tweak, *essiv;
};

/* The most sectors that the modes handle together: buffers on the stack, and in the nearest cache. */
#define LANES 16

/* IVs of nr sectors (at most LANES), CIPHER_BLOCK_MAX bytes apart; shorter ones are the first bytes. */
void sector_ivs(const struct sector_cipher *c, uint64_t sector, size_t nr,
		uint8_t iv[LANES][CIPHER_BLOCK_MAX]);

/* nr sectors, at most LANES. */
void xts_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt);
void ecb_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt);
void ctr_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt);
void cbc_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt);

/* n is a multiple of 8. The buffers do not overlap. */
static inline void block_xor(uint8_t *restrict to, const uint8_t *restrict with, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t a, b;

		memcpy(&a, to + i, 8);
		memcpy(&b, with + i, 8);
		a ^= b;
		memcpy(to + i, &a, 8);
	}
}

/* nettle has the fastest code for many blocks in one call. */
static inline void blocks_run(const struct sector_cipher *c, bool encrypt, size_t n, uint8_t *to,
			      const uint8_t *from)
{
	const struct nettle_cipher *x = c->spec.cipher->nettle;

	if (encrypt)
		x->encrypt(c->encrypt, n, to, from);
	else
		x->decrypt(c->decrypt, n, to, from);
}

static inline void le64_put(uint8_t *p, uint64_t v)
{
	be64_put(p, __builtin_bswap64(v));
}

static inline uint64_t le64_get(const uint8_t *p)
{
	return __builtin_bswap64(be64_get(p));
}
