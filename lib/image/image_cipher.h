#pragma once
#include <stdbool.h>

#include "crypt/sector.h"

/* What encrypts the guest clusters of an image, with an IV by where a sector is in the file, or,
 * with legacy AES, on the disk (7). Any thread. */
struct image_cipher {
	struct sector_cipher *sectors; /* NULL: not encrypted, or not unlocked */
	bool by_guest;
};

/* n bytes at guest and host offsets that are multiples of 512, as n is; in place. */
static inline void image_cipher_encrypt(const struct image_cipher *c, uint64_t guest,
					uint64_t host, void *p, size_t n)
{
	sector_encrypt(c->sectors, (c->by_guest ? guest : host) / CRYPT_SECTOR, p, n);
}

static inline void image_cipher_decrypt(const struct image_cipher *c, uint64_t guest,
					uint64_t host, void *p, size_t n)
{
	sector_decrypt(c->sectors, (c->by_guest ? guest : host) / CRYPT_SECTOR, p, n);
}
