/* Key slots: the master key, split into stripes and encrypted with what a passphrase gives. */
#include "base/secret.h"
#include "crypt/af.h"
#include "crypt/kdf.h"
#include "crypt/luks_internal.h"
#include "crypt/random.h"

size_t luks_material_len(const struct luks_header *h)
{
	return (size_t)luks_slot_sectors(h) * CRYPT_SECTOR;
}

const struct nettle_hash *luks_hash(const struct luks_header *h, struct err *e)
{
	const struct nettle_hash *hash = hash_find(h->hash);

	if (!hash)
		err_set(e, ERR_UNSUPPORTED, "hash '%s' is not supported", h->hash);
	return hash;
}

/* What encrypts the material of a slot: the cipher of the payload, with the passphrase's key. Its
 * IVs count from 0. */
static struct sector_cipher *slot_cipher(const struct luks_header *h, unsigned nr,
					 const struct nettle_hash *hash, struct bytes pass,
					 const struct watch *watch, struct err *e)
{
	const struct luks_slot *s = &h->slots[nr];
	struct luks_key *key = secret_new(sizeof *key);
	struct sector_cipher *c = NULL;

	if (!key) {
		err_nomem(e);
		return NULL;
	}
	key->len = h->key_len;
	if (kdf_pbkdf2(hash, pass, (struct bytes){ s->salt, sizeof s->salt }, s->iterations, watch,
		       key->bytes, key->len, e) == 0)
		c = luks_sector_cipher(h, key, e);
	secret_free(key);
	return c;
}

/* Whole sectors, as many as the stripes touch: what is left of the area is not used. */
static size_t encrypted_len(const struct luks_header *h)
{
	size_t split = (size_t)h->key_len * LUKS_STRIPES;

	return (split + CRYPT_SECTOR - 1) / CRYPT_SECTOR * CRYPT_SECTOR;
}

int luks_slot_fill(struct luks_header *h, unsigned nr, const struct luks_key *key,
		   struct bytes pass, uint32_t iterations, const struct watch *watch,
		   uint8_t *material, struct err *e)
{
	const struct nettle_hash *hash = luks_hash(h, e);
	struct luks_slot *s = &h->slots[nr];
	struct sector_cipher *c;

	if (!hash || luks_slots_check(h, 1u << nr, iterations, e) < 0 ||
	    random_bytes(s->salt, sizeof s->salt, e) < 0)
		return -1;
	s->iterations = iterations;
	c = slot_cipher(h, nr, hash, pass, watch, e);
	if (!c)
		return -1;
	memset(material, 0, luks_material_len(h));
	int ret = af_split(hash, key->bytes, key->len, LUKS_STRIPES, material, e);

	sector_encrypt(c, 0, material, encrypted_len(h));
	secret_free(c);
	s->enabled = ret == 0;
	return ret;
}

int luks_slot_open(const struct luks_header *h, unsigned nr, struct bytes pass,
		   const struct watch *watch, uint8_t *material, struct luks_key *key, struct err *e)
{
	const struct nettle_hash *hash = luks_hash(h, e);
	struct sector_cipher *c;

	if (!hash || luks_slot_check(h, nr, e) < 0)
		return -1;
	c = slot_cipher(h, nr, hash, pass, watch, e);
	if (!c)
		return -1;
	sector_decrypt(c, 0, material, encrypted_len(h));
	secret_free(c);
	key->len = h->key_len;
	af_merge(hash, material, key->len, LUKS_STRIPES, key->bytes);
	secret_wipe(material, luks_material_len(h));
	return luks_key_check(h, key, watch, e);
}

/* 1: opened, 0: it is another one. */
static int slot_try(const struct luks_header *h, unsigned nr, const struct luks_source *from,
		    struct bytes pass, uint8_t *material, struct luks_key *key, struct err *e)
{
	if (from->read(from->arg, (uint64_t)h->slots[nr].key_sector * CRYPT_SECTOR, material,
		       luks_material_len(h), e) < 0)
		return err_ctx(e, "key slot %u", nr);
	return luks_slot_open(h, nr, pass, from->watch, material, key, e);
}

static int none_opens(const struct luks_plan *p, struct err *e)
{
	if (!p->used)
		return err_set(e, ERR_INVALID,
			       "no key slot is in use: no passphrase opens the image any more");
	if (p->tried == p->used)
		return err_set(e, ERR_INVALID,
			       "wrong passphrase: it opens none of the key slots");
	return err_set(e, ERR_UNSUPPORTED, "%s%s", p->why.text,
		       p->tried ? "; the passphrase opens none of those that were tried" : "");
}

static int slots_try(const struct luks_header *h, const struct luks_source *from,
		     struct bytes pass, uint8_t *material, struct luks_key *key, unsigned *slot,
		     struct err *e)
{
	const struct luks_plan p = luks_plan(h);

	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		int ret = p.tried >> i & 1 ? slot_try(h, i, from, pass, material, key, e) : 0;

		if (ret < 0)
			return -1;
		if (ret) {
			if (slot)
				*slot = i;
			return 0;
		}
	}
	return none_opens(&p, e);
}

int luks_known(const struct luks_header *h, struct err *e)
{
	struct cipher_spec spec;

	return luks_hash(h, e) && cipher_spec_parse(&spec, h->cipher, h->mode, h->key_len, e) == 0 ? 0
												   : -1;
}

struct luks_key *luks_unlock(const struct luks_header *h, const struct luks_source *from,
			     struct bytes pass, unsigned *slot, struct err *e)
{
	struct luks_key *key = NULL;
	uint8_t *material = NULL;

	if (luks_known(h, e) < 0)
		return NULL;
	key = secret_new(sizeof *key);
	material = secret_new(luks_material_len(h));
	if (!key || !material)
		err_nomem(e);
	else if (slots_try(h, from, pass, material, key, slot, e) == 0)
		goto out;
	secret_free(key);
	key = NULL;
out:
	secret_free(material);
	return key;
}
