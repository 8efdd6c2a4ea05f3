/* ECB, CTR and CBC over sectors. */
#include "crypt/sector_internal.h"

void ecb_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt)
{
	(void)sector;
	blocks_run(c, encrypt, nr * CRYPT_SECTOR, p, p);
}

/* One more, as a big-endian number. */
static void counter_step(uint8_t *counter, size_t n)
{
	while (n-- && !++counter[n])
		;
}

void ctr_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt)
{
	uint8_t iv[LANES][CIPHER_BLOCK_MAX], stream[LANES * CRYPT_SECTOR];
	size_t block = c->spec.cipher->block_len, n = nr * CRYPT_SECTOR;

	(void)encrypt; /* the stream is the same in both directions */
	sector_ivs(c, sector, nr, iv);
	for (size_t at = 0; at < n; at += block) {
		uint8_t *counter = iv[at / CRYPT_SECTOR];

		memcpy(stream + at, counter, block);
		counter_step(counter, block);
	}
	blocks_run(c, true, n, stream, stream);
	block_xor(p, stream, n);
}

/* Each block needs the one before, but sectors need each other not: they go side by side. */
static void cbc_encrypt(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr)
{
	uint8_t iv[LANES][CIPHER_BLOCK_MAX], row[LANES * CIPHER_BLOCK_MAX];
	size_t block = c->spec.cipher->block_len;

	sector_ivs(c, sector, nr, iv);
	for (size_t i = 0; i < nr; i++)
		memcpy(row + i * block, iv[i], block);
	for (size_t at = 0; at < CRYPT_SECTOR; at += block) {
		for (size_t i = 0; i < nr; i++)
			block_xor(row + i * block, p + i * CRYPT_SECTOR + at, block);
		blocks_run(c, true, nr * block, row, row);
		for (size_t i = 0; i < nr; i++)
			memcpy(p + i * CRYPT_SECTOR + at, row + i * block, block);
	}
}

static void cbc_decrypt(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr)
{
	uint8_t iv[LANES][CIPHER_BLOCK_MAX], was[LANES * CRYPT_SECTOR];
	size_t block = c->spec.cipher->block_len, n = nr * CRYPT_SECTOR;

	sector_ivs(c, sector, nr, iv);
	memcpy(was, p, n);
	blocks_run(c, false, n, p, was);
	for (size_t at = 0; at < n; at += CRYPT_SECTOR) {
		block_xor(p + at, iv[at / CRYPT_SECTOR], block);
		block_xor(p + at + block, was + at, CRYPT_SECTOR - block);
	}
}

void cbc_run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr, bool encrypt)
{
	if (encrypt)
		cbc_encrypt(c, sector, p, nr);
	else
		cbc_decrypt(c, sector, p, nr);
}
