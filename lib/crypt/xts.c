/* XTS (IEEE 1619): every block is masked with a tweak before and after the cipher. The tweaks of
 * many sectors come first, so that the cipher can be called for all their blocks at once. */
#include "crypt/sector_internal.h"

#define BLOCKS (CRYPT_SECTOR / CIPHER_BLOCK_MAX)

/* The masks of one sector: the first is given, each is twice the one before in GF(2^128). */
static void masks_make(const uint8_t first[CIPHER_BLOCK_MAX], uint8_t *masks)
{
	uint64_t low = le64_get(first), high = le64_get(first + 8);

	for (size_t i = 0; i < BLOCKS; i++, masks += CIPHER_BLOCK_MAX) {
		uint64_t carry = (uint64_t)((int64_t)high >> 63) & 0x87;

		le64_put(masks, low);
		le64_put(masks + 8, high);
		high = high << 1 | low >> 63;
		low = low << 1 ^ carry;
	}
}

void xts_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt)
{
	uint8_t first[LANES][CIPHER_BLOCK_MAX], masks[LANES * CRYPT_SECTOR];
	size_t n = nr * CRYPT_SECTOR;

	sector_ivs(c, sector, nr, first);
	c->spec.cipher->nettle->encrypt(c->tweak, nr * CIPHER_BLOCK_MAX, first[0], first[0]);
	for (size_t i = 0; i < nr; i++)
		masks_make(first[i], masks + i * CRYPT_SECTOR);
	block_xor(p, masks, n);
	blocks_run(c, encrypt, n, p, p);
	block_xor(p, masks, n);
}
