#include "crypt/luks.h"

#include <nettle/memops.h>
#include <nettle/nettle-meta.h>
#include <stdio.h>

#include "base/secret.h"
#include "crypt/kdf.h"
#include "crypt/luks_internal.h"
#include "crypt/random.h"

struct luks_options luks_options_default(void)
{
	return (struct luks_options){
		.spec = { .cipher = cipher_find("aes-256"), .mode = MODE_XTS,
			  .ivgen = IVGEN_PLAIN64 },
		.hash = hash_find("sha256"),
		.iter_ms = LUKS_OPTIONS_ITER_MS,
	};
}

int luks_options_check(const struct luks_options *o, struct err *e)
{
	struct cipher_spec spec = o->spec;

	if (cipher_spec_check(&spec, e) < 0)
		return -1;
	if (spec.mode == MODE_ECB)
		return err_set(e, ERR_INVALID,
			       "cipher mode ecb shows which sectors are alike; it is read, but not "
			       "made");
	if (spec.mode == MODE_CTR)
		return err_set(e, ERR_INVALID,
			       "cipher mode ctr gives data away when a sector is written twice; it "
			       "is read, but not made");
	if (cipher_spec_key_len(&spec) * LUKS_STRIPES % CRYPT_SECTOR)
		return err_set(e, ERR_INVALID,
			       "%s in mode %s has a key of %zu bytes, which others can't read from "
			       "a LUKS header; use %sanother cipher",
			       spec.cipher->name, cipher_mode_word(spec.mode),
			       cipher_spec_key_len(&spec),
			       spec.cipher->block_len == CIPHER_BLOCK_MAX ? "mode xts or " : "");
	if (!o->iter_ms)
		return err_set(e, ERR_INVALID, "iter-time must be at least 1 millisecond");
	return 0;
}

static uint64_t payload_sector(const struct luks_header *h)
{
	return LUKS_FIRST_KEY_SECTOR + LUKS_SLOTS * luks_slot_sectors(h);
}

uint64_t luks_area_len(const struct luks_options *o)
{
	struct luks_header h = { .key_len = (uint32_t)cipher_spec_key_len(&o->spec) };

	return payload_sector(&h) * CRYPT_SECTOR;
}

static void words_put(struct luks_header *h, const struct luks_options *o)
{
	bool essiv = o->spec.ivgen == IVGEN_ESSIV;

	snprintf(h->cipher, sizeof h->cipher, "%s", o->spec.cipher->luks_name);
	snprintf(h->mode, sizeof h->mode, "%s-%s%s%s", cipher_mode_word(o->spec.mode),
		 ivgen_word(o->spec.ivgen), essiv ? ":" : "",
		 essiv ? o->spec.ivgen_hash->name : "");
	snprintf(h->hash, sizeof h->hash, "%s", o->hash->name);
}

/* Version 4 of RFC 4122: random, but for six bits. */
static int uuid_put(struct luks_header *h, struct err *e)
{
	uint8_t b[16];

	if (random_bytes(b, sizeof b, e) < 0)
		return -1;
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(h->uuid, sizeof h->uuid,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
	return 0;
}

/* What the header keeps of the master key, to tell it by. */
static int digest_make(const struct luks_header *h, const struct nettle_hash *hash,
		       const struct luks_key *key, const struct watch *watch,
		       uint8_t digest[LUKS_DIGEST_BYTES], struct err *e)
{
	return kdf_pbkdf2(hash, (struct bytes){ key->bytes, key->len },
			  (struct bytes){ h->salt, sizeof h->salt }, h->iterations, watch, digest,
			  LUKS_DIGEST_BYTES, e);
}

int luks_key_check(const struct luks_header *h, const struct luks_key *key, const struct watch *watch,
		   struct err *e)
{
	const struct nettle_hash *hash = luks_hash(h, e);
	uint8_t digest[LUKS_DIGEST_BYTES];

	if (!hash || digest_make(h, hash, key, watch, digest, e) < 0)
		return -1;
	return key->len == h->key_len && memeql_sec(digest, h->digest, sizeof digest);
}

static int header_fill(struct luks_header *h, const struct luks_options *o, struct luks_key *key,
		       const struct watch *watch, struct err *e)
{
	words_put(h, o);
	key->len = h->key_len = (uint32_t)cipher_spec_key_len(&o->spec);
	h->payload_sector = (uint32_t)payload_sector(h);
	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		h->slots[i] = (struct luks_slot){
			.key_sector = (uint32_t)(LUKS_FIRST_KEY_SECTOR + i * luks_slot_sectors(h)),
			.stripes = LUKS_STRIPES,
		};
	if (uuid_put(h, e) < 0 || random_bytes(h->salt, sizeof h->salt, e) < 0 ||
	    random_bytes(key->bytes, key->len, e) < 0)
		return -1;
	return digest_make(h, o->hash, key, watch, h->digest, e);
}

struct luks_key *luks_new(struct luks_header *h, const struct luks_options *o,
			  const struct luks_effort *f, const struct watch *watch, struct err *e)
{
	struct luks_key *key;

	*h = (struct luks_header){ .iterations = f->digest };
	if (luks_options_check(o, e) < 0)
		return NULL;
	key = secret_new(sizeof *key);
	if (!key)
		err_nomem(e);
	else if (header_fill(h, o, key, watch, e) == 0)
		return key;
	secret_free(key);
	return NULL;
}

struct sector_cipher *luks_sector_cipher(const struct luks_header *h, const struct luks_key *key,
					 struct err *e)
{
	struct cipher_spec spec;

	if (cipher_spec_parse(&spec, h->cipher, h->mode, h->key_len, e) < 0)
		return NULL;
	return sector_cipher_new(&spec, key->bytes, e);
}
