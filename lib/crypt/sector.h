#pragma once
#include <stddef.h>
#include <stdint.h>

#include "crypt/cipher.h"

/* Sectors of 512 bytes, each encrypted for itself with an IV of its own (7). One object may be
 * used by any number of threads at once: nothing in it changes. */
struct sector_cipher;

#define CRYPT_SECTOR 512

/* key: cipher_spec_key_len() bytes. NULL: no memory. secret_free() frees it. */
struct sector_cipher *sector_cipher_new(const struct cipher_spec *s, const uint8_t *key,
					struct err *e);
/* Legacy AES (7.1): the passphrase is the key, cut to 16 bytes or filled with zeros. */
struct sector_cipher *sector_cipher_legacy(const uint8_t *pass, size_t n, struct err *e);

/* n bytes, a multiple of 512, in place. `sector`: the number of the first one. */
void sector_encrypt(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t n);
void sector_decrypt(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t n);
