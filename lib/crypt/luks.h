#pragma once
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/watch.h"
#include "crypt/cipher.h"
#include "crypt/sector.h"
#include "format/luks_header.h"

/* LUKS version 1 (7.4): a master key, and up to eight key slots that each hold it for another
 * passphrase. Where the bytes are is not known here: key material comes and goes in buffers. */

/* In memory of secret_new(). */
struct luks_key {
	size_t len;
	uint8_t bytes[LUKS_KEY_BYTES_MAX];
};

/* What a new header is to say. */
struct luks_options {
	struct cipher_spec spec;
	const struct nettle_hash *hash;
	uint64_t iter_ms; /* time that trying a passphrase is to take */
};

#define LUKS_OPTIONS_ITER_MS 2000
/* aes-256, xts-plain64, sha256 */
struct luks_options luks_options_default(void);
/* Refuses what should not be made: modes that do not hide what changes, keys that others stumble
 * over. */
int luks_options_check(const struct luks_options *o, struct err *e) MUST_CHECK;
/* Bytes of the whole area: header and key material of all slots. */
uint64_t luks_area_len(const struct luks_options *o);

/* PBKDF2 iterations for the digest of the master key, and for a passphrase. */
struct luks_effort {
	uint32_t digest, slot;
};
/* How many make o->iter_ms, measured. ERR_INVALID: more than would be read. */
int luks_effort_measure(const struct luks_options *o, struct luks_effort *f,
			struct err *e) MUST_CHECK;
/* A new header with a new, random master key and no slot in use. The key is the caller's, for
 * secret_free(). */
struct luks_key *luks_new(struct luks_header *h, const struct luks_options *o,
			  const struct luks_effort *f, const struct watch *watch, struct err *e);

/* Bytes of the key material of one slot. */
size_t luks_material_len(const struct luks_header *h);
/* How many PBKDF2 iterations make trying a passphrase take that long; measured. ERR_INVALID: more than
 * would be read. */
int luks_slot_iterations(const struct luks_header *h, uint64_t iter_ms, uint32_t *iterations,
			 struct err *e) MUST_CHECK;
/* Whether this slot can be tried; ERR_UNSUPPORTED: it would take too long. */
int luks_slot_check(const struct luks_header *h, unsigned nr, struct err *e) MUST_CHECK;
/* Whether all slots in use can be tried, if these (bit 0: slot 0) are filled and take so many: nobody is
 * to lock himself out. */
int luks_slots_check(const struct luks_header *h, unsigned slots, uint32_t iterations,
		     struct err *e) MUST_CHECK;
/* Puts the key into slot nr, whatever was there: the header's part, and its key material. */
int luks_slot_fill(struct luks_header *h, unsigned nr, const struct luks_key *key,
		   struct bytes pass, uint32_t iterations, const struct watch *watch,
		   uint8_t *material, struct err *e) MUST_CHECK;
/* Tries the passphrase on slot nr, which is in use. Returns 1 with the key, 0: it is another one.
 * ERR_UNSUPPORTED: that would take too long. The material becomes plain, and is wiped. */
int luks_slot_open(const struct luks_header *h, unsigned nr, struct bytes pass,
		   const struct watch *watch, uint8_t *material, struct luks_key *key,
		   struct err *e) MUST_CHECK;

/* Whether we know what the header names: cipher, mode, IV generator and hash. */
int luks_known(const struct luks_header *h, struct err *e) MUST_CHECK;

/* How the key material is had: n bytes at `off`, as the LUKS header counts. */
struct luks_source {
	int (*read)(void *arg, uint64_t off, void *buf, size_t n, struct err *e);
	void *arg;
	const struct watch *watch; /* may be NULL */
};
/* Tries the slots in use, one after the other; one that would take too long, by itself or with those
 * before it, is passed over. ERR_INVALID: none opens. ERR_UNSUPPORTED: none of those that were tried.
 * *slot, if not NULL: which one did. The key is the caller's. */
struct luks_key *luks_unlock(const struct luks_header *h, const struct luks_source *from,
			     struct bytes pass, unsigned *slot, struct err *e);

/* 1: this is the master key that the header tells of, 0: it is another one. */
int luks_key_check(const struct luks_header *h, const struct luks_key *key, const struct watch *watch,
		   struct err *e) MUST_CHECK;

/* What encrypts the payload. */
struct sector_cipher *luks_sector_cipher(const struct luks_header *h, const struct luks_key *key,
					 struct err *e);
