#include "crypt/cipher.h"

#include <nettle/des.h>
#include <nettle/nettle-meta.h>
#include <string.h>

#include "crypt/hash.h"

/* nettle has DES, but not in the shape of the others: its keys may be weak, which it tells. A key
 * that is random is not, and one that somebody chose is what he has to read with. */
static void des_key(void *ctx, const uint8_t *key)
{
	(void)des_set_key(ctx, key);
}

static void des3_key(void *ctx, const uint8_t *key)
{
	(void)des3_set_key(ctx, key);
}

static const struct nettle_cipher des = {
	"des", sizeof(struct des_ctx), DES_BLOCK_SIZE, DES_KEY_SIZE, des_key, des_key,
	(nettle_cipher_func *)des_encrypt, (nettle_cipher_func *)des_decrypt,
};
static const struct nettle_cipher des3 = {
	"3des", sizeof(struct des3_ctx), DES3_BLOCK_SIZE, DES3_KEY_SIZE, des3_key, des3_key,
	(nettle_cipher_func *)des3_encrypt, (nettle_cipher_func *)des3_decrypt,
};

static const struct cipher ciphers[] = {
	{ "aes-128", "aes", 16, 16, &nettle_aes128 },
	{ "aes-192", "aes", 24, 16, &nettle_aes192 },
	{ "aes-256", "aes", 32, 16, &nettle_aes256 },
	{ "serpent-128", "serpent", 16, 16, &nettle_serpent128 },
	{ "serpent-192", "serpent", 24, 16, &nettle_serpent192 },
	{ "serpent-256", "serpent", 32, 16, &nettle_serpent256 },
	{ "twofish-128", "twofish", 16, 16, &nettle_twofish128 },
	{ "twofish-192", "twofish", 24, 16, &nettle_twofish192 },
	{ "twofish-256", "twofish", 32, 16, &nettle_twofish256 },
	{ "cast5-128", "cast5", 16, 8, &nettle_cast128 },
	{ "3des", "des3_ede", 24, 8, &des3 },
	{ "des", "des", 8, 8, &des },
};

static const char *const mode_words[] = { "xts", "cbc", "ecb", "ctr" };
static const char *const ivgen_words[] = { "plain64", "plain", "essiv" };

#define NR(array) (sizeof(array) / sizeof *(array))

const struct cipher *cipher_find(const char *name)
{
	for (size_t i = 0; i < NR(ciphers); i++)
		if (strcmp(ciphers[i].name, name) == 0)
			return &ciphers[i];
	return NULL;
}

static const struct cipher *find_width(const char *luks_name, size_t key_len)
{
	for (size_t i = 0; i < NR(ciphers); i++)
		if (strcmp(ciphers[i].luks_name, luks_name) == 0 && ciphers[i].key_len == key_len)
			return &ciphers[i];
	return NULL;
}

/* The index among words of the n bytes at `text`; the number of words: there is none. */
static size_t word_index(const char *const *words, size_t nr, const char *text, size_t n)
{
	size_t i = 0;

	while (i < nr && (strlen(words[i]) != n || memcmp(words[i], text, n) != 0))
		i++;
	return i;
}

static bool mode_of(const char *text, size_t n, enum cipher_mode *mode)
{
	size_t i = word_index(mode_words, NR(mode_words), text, n);

	*mode = (enum cipher_mode)i;
	return i < NR(mode_words);
}

static bool ivgen_of(const char *text, size_t n, enum ivgen *ivgen)
{
	size_t i = word_index(ivgen_words, NR(ivgen_words), text, n);

	*ivgen = (enum ivgen)i;
	return i < NR(ivgen_words);
}

bool cipher_mode_find(const char *word, enum cipher_mode *mode)
{
	return mode_of(word, strlen(word), mode);
}

bool ivgen_find(const char *word, enum ivgen *ivgen)
{
	return ivgen_of(word, strlen(word), ivgen);
}

const char *cipher_mode_word(enum cipher_mode mode)
{
	return mode_words[mode];
}

const char *ivgen_word(enum ivgen ivgen)
{
	return ivgen_words[ivgen];
}

int cipher_spec_check(struct cipher_spec *s, struct err *e)
{
	s->essiv = NULL;
	if (s->mode == MODE_XTS && s->cipher->block_len != CIPHER_BLOCK_MAX)
		return err_set(e, ERR_INVALID,
			       "cipher %s has blocks of %u bytes, and mode xts needs %d",
			       s->cipher->name, s->cipher->block_len, CIPHER_BLOCK_MAX);
	if (s->ivgen != IVGEN_ESSIV)
		return 0;
	if (!s->ivgen_hash)
		return err_set(e, ERR_INVALID, "IV generator essiv needs a hash");
	/* The digest is the key. */
	s->essiv = find_width(s->cipher->luks_name, hash_len(s->ivgen_hash));
	if (!s->essiv)
		return err_set(e, ERR_INVALID,
			       "IV generator essiv: cipher %s takes no key of %zu bytes, as its "
			       "hash gives it",
			       s->cipher->name, hash_len(s->ivgen_hash));
	return 0;
}

/* "MODE-IVGEN" or "MODE-IVGEN:HASH"; a hash that no generator needs is passed over. Electronic
 * codebook has no vectors, and may do without a generator. */
static int mode_parse(struct cipher_spec *s, const char *word, struct err *e)
{
	const char *ivgen = strchr(word, '-'), *hash = ivgen ? strchr(ivgen, ':') : NULL;
	size_t mode_len = ivgen ? (size_t)(ivgen - word) : strlen(word);

	s->ivgen = IVGEN_PLAIN64;
	if (!mode_of(word, mode_len, &s->mode) || (!ivgen && s->mode != MODE_ECB))
		return err_set(e, ERR_UNSUPPORTED, "cipher mode '%s' is not supported", word);
	if (!ivgen)
		return 0;
	ivgen++;
	if (!ivgen_of(ivgen, hash ? (size_t)(hash - ivgen) : strlen(ivgen), &s->ivgen))
		return err_set(e, ERR_UNSUPPORTED, "IV generator '%s' is not supported", ivgen);
	if (s->ivgen != IVGEN_ESSIV || !hash)
		return 0;
	s->ivgen_hash = hash_find(hash + 1);
	return s->ivgen_hash ? 0
			     : err_set(e, ERR_UNSUPPORTED, "hash '%s' is not supported", hash + 1);
}

static bool is_known(const char *luks_name)
{
	for (size_t i = 0; i < NR(ciphers); i++)
		if (strcmp(ciphers[i].luks_name, luks_name) == 0)
			return true;
	return false;
}

int cipher_spec_parse(struct cipher_spec *s, const char *luks_name, const char *mode,
		      size_t key_len, struct err *e)
{
	size_t one;

	*s = (struct cipher_spec){ 0 };
	if (mode_parse(s, mode, e) < 0)
		return -1;
	if (!is_known(luks_name))
		return err_set(e, ERR_UNSUPPORTED, "cipher '%s' is not supported", luks_name);
	one = s->mode == MODE_XTS ? key_len / 2 : key_len;
	s->cipher = s->mode == MODE_XTS && key_len % 2 ? NULL : find_width(luks_name, one);
	if (!s->cipher)
		return err_set(e, ERR_INVALID, "cipher %s in mode %s takes no key of %zu bytes",
			       luks_name, mode, key_len);
	return cipher_spec_check(s, e);
}

size_t cipher_spec_key_len(const struct cipher_spec *s)
{
	return s->mode == MODE_XTS ? 2u * s->cipher->key_len : s->cipher->key_len;
}
