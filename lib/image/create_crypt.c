#include "image/create_crypt.h"

#include "base/secret.h"
#include "crypt/hash.h"
#include "crypt/luks.h"

static int word_bad(const char *key, const char *word, struct err *e)
{
	return err_set(e, ERR_INVALID, "Parameter 'encrypt.%s' does not accept value '%s'", key,
		       word);
}

static int hash_take(const char *key, const char *word, const struct nettle_hash **hash,
		     struct err *e)
{
	if (!word)
		return 0;
	*hash = hash_find(word);
	return *hash ? 0 : word_bad(key, word, e);
}

int create_luks_options(const struct create_encryption *c, struct luks_options *o,
			struct err *e)
{
	struct cipher_spec *s = &o->spec;

	*o = luks_options_default();
	if (c->cipher_alg && !(s->cipher = cipher_find(c->cipher_alg)))
		return word_bad("cipher-alg", c->cipher_alg, e);
	if (c->cipher_mode && !cipher_mode_find(c->cipher_mode, &s->mode))
		return word_bad("cipher-mode", c->cipher_mode, e);
	if (c->ivgen_alg && !ivgen_find(c->ivgen_alg, &s->ivgen))
		return word_bad("ivgen-alg", c->ivgen_alg, e);
	s->ivgen_hash = hash_find("sha256");
	if (hash_take("ivgen-hash-alg", c->ivgen_hash_alg, &s->ivgen_hash, e) < 0 ||
	    hash_take("hash-alg", c->hash_alg, &o->hash, e) < 0)
		return -1;
	if (c->iter_ms)
		o->iter_ms = c->iter_ms;
	if (cipher_spec_check(s, e) < 0)
		return -1;
	return luks_options_check(o, e);
}

int create_encryption_check(const struct create_options *o, struct err *e)
{
	struct luks_options luks;

	if (o->encryption.method == CRYPT_NONE)
		return 0;
	if (o->data_file_raw)
		return err_set(e, ERR_INVALID,
			       "data_file_raw and encryption exclude each other: who reads the "
			       "data file by itself would see no data");
	return o->encryption.method == CRYPT_LUKS
		       ? create_luks_options(&o->encryption, &luks, e)
		       : 0;
}

uint64_t create_luks_len(const struct create_options *o)
{
	struct err ignored = ERR_INIT;
	struct luks_options luks;

	if (o->encryption.method != CRYPT_LUKS ||
	    create_luks_options(&o->encryption, &luks, &ignored) < 0)
		return 0;
	return luks_area_len(&luks);
}

int create_encryption_measure(struct create_encryption *c, struct err *e)
{
	struct luks_options o;
	struct luks_effort f;

	if (c->method != CRYPT_LUKS || c->slot_iterations)
		return 0;
	if (create_luks_options(c, &o, e) < 0 || luks_effort_measure(&o, &f, e) < 0)
		return -1;
	c->slot_iterations = f.slot;
	c->digest_iterations = f.digest;
	return 0;
}

/* Key slot 0 holds the passphrase. What is not in use stays as it is in a new file: zeros. */
static int luks_write(struct luks_header *h, const struct create_encryption *c,
		      const struct luks_key *key, struct file *f, uint64_t off, struct err *e)
{
	uint8_t bytes[LUKS_HEADER_BYTES], *material = secret_new(luks_material_len(h));
	struct wr w = wr_over(bytes, sizeof bytes);
	uint64_t slot_off = off + (uint64_t)h->slots[0].key_sector * SECTOR_SIZE;
	int ret = -1;

	if (!material)
		return err_nomem(e);
	if (luks_slot_fill(h, 0, key, c->passphrase, c->slot_iterations, c->watch, material, e) ==
		    0 &&
	    file_write_at(f, slot_off, material, luks_material_len(h), e) == 0) {
		luks_header_encode(&w, h);
		ret = file_write_at(f, off, bytes, sizeof bytes, e);
	}
	secret_free(material);
	return ret;
}

static int luks_make(const struct create_encryption *c, struct file *f, uint64_t off,
		     struct image_cipher *out, struct err *e)
{
	struct create_encryption now = *c;
	struct luks_options o;
	struct luks_header h;
	struct luks_key *key;

	if (create_luks_options(c, &o, e) < 0 || create_encryption_measure(&now, e) < 0)
		return -1;
	const struct luks_effort effort = { now.digest_iterations, now.slot_iterations };

	key = luks_new(&h, &o, &effort, now.watch, e);
	if (key && luks_write(&h, &now, key, f, off, e) == 0)
		out->sectors = luks_sector_cipher(&h, key, e);
	secret_free(key);
	return out->sectors ? 0 : -1;
}

int create_cipher(const struct create_encryption *c, struct file *f, uint64_t off,
		  struct image_cipher *out, struct err *e)
{
	if (c->method != CRYPT_AES)
		return luks_make(c, f, off, out, e);
	out->by_guest = true;
	out->sectors = sector_cipher_legacy(c->passphrase.p, c->passphrase.n, e);
	return out->sectors ? 0 : -1;
}
