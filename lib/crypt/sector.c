#include "crypt/sector.h"

#include "base/align.h"
#include "base/secret.h"
#include "crypt/hash.h"
#include "crypt/sector_internal.h"

/* Places for the scheduled keys, one behind the other. The first call, without memory, only counts. */
static size_t lay_out(struct sector_cipher *c, const struct cipher_spec *s, uint8_t *start)
{
	size_t one = (size_t)align_up(s->cipher->nettle->context_size, 16);
	size_t at = (size_t)align_up(sizeof *c, 16);
	size_t essiv = s->essiv ? (size_t)align_up(s->essiv->nettle->context_size, 16) : 0;

	if (c) {
		c->spec = *s;
		c->encrypt = start + at;
		c->decrypt = start + at + one;
		c->tweak = start + at + 2 * one;
		c->essiv = s->essiv ? start + at + 3 * one : NULL;
	}
	return at + 3 * one + essiv;
}

static void essiv_key(struct sector_cipher *c, const uint8_t *key)
{
	struct bytes none = { key, 0 }, all = { key, cipher_spec_key_len(&c->spec) };
	uint8_t digest[HASH_DIGEST_MAX];

	hash_of(c->spec.ivgen_hash, none, all, digest, hash_len(c->spec.ivgen_hash));
	c->spec.essiv->nettle->set_encrypt_key(c->essiv, digest);
	secret_wipe(digest, sizeof digest);
}

struct sector_cipher *sector_cipher_new(const struct cipher_spec *s, const uint8_t *key,
					struct err *e)
{
	struct sector_cipher *c = secret_new(lay_out(NULL, s, NULL));

	if (!c) {
		err_nomem(e);
		return NULL;
	}
	lay_out(c, s, (uint8_t *)c);
	s->cipher->nettle->set_encrypt_key(c->encrypt, key);
	s->cipher->nettle->set_decrypt_key(c->decrypt, key);
	if (s->mode == MODE_XTS)
		s->cipher->nettle->set_encrypt_key(c->tweak, key + s->cipher->key_len);
	if (s->essiv)
		essiv_key(c, key);
	return c;
}

struct sector_cipher *sector_cipher_legacy(const uint8_t *pass, size_t n, struct err *e)
{
	struct cipher_spec s = { .cipher = cipher_find("aes-128"), .mode = MODE_CBC,
				 .ivgen = IVGEN_PLAIN64 };
	uint8_t key[16] = { 0 };
	struct sector_cipher *c;

	if (n)
		memcpy(key, pass, MIN(n, sizeof key));
	c = sector_cipher_new(&s, key, e);
	secret_wipe(key, sizeof key);
	return c;
}

void sector_ivs(const struct sector_cipher *c, uint64_t sector, size_t nr,
		uint8_t iv[LANES][CIPHER_BLOCK_MAX])
{
	size_t block = c->spec.cipher->block_len;

	memset(iv, 0, nr * CIPHER_BLOCK_MAX);
	for (size_t i = 0; i < nr; i++)
		le64_put(iv[i], c->spec.ivgen == IVGEN_PLAIN ? (sector + i) & UINT32_MAX : sector + i);
	for (size_t i = 0; c->spec.essiv && i < nr; i++)
		c->spec.essiv->nettle->encrypt(c->essiv, block, iv[i], iv[i]);
}

typedef void run_fn(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t nr,
		    bool encrypt);

static void run(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t n,
		bool encrypt)
{
	static run_fn *const modes[] = {
		[MODE_XTS] = xts_run, [MODE_CBC] = cbc_run, [MODE_ECB] = ecb_run,
		[MODE_CTR] = ctr_run,
	};
	size_t sectors = n / CRYPT_SECTOR, nr;

	for (; sectors; sectors -= nr, sector += nr, p += nr * CRYPT_SECTOR) {
		nr = MIN(sectors, LANES);
		modes[c->spec.mode](c, sector, p, nr, encrypt);
	}
}

void sector_encrypt(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t n)
{
	run(c, sector, p, n, true);
}

void sector_decrypt(const struct sector_cipher *c, uint64_t sector, uint8_t *p, size_t n)
{
	run(c, sector, p, n, false);
}
