#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The words that say how sectors are encrypted, as creation keys and as LUKS headers spell them.
 * A set of words becomes a struct cipher_spec in one place, and is valid then. */

/* One cipher with one width of key. */
struct cipher {
	const char *name;	/* "aes-256" */
	const char *luks_name;	/* "aes" */
	uint8_t key_len;	/* bytes */
	uint8_t block_len;	/* 8 or 16 bytes */
	const struct nettle_cipher *nettle;
};
#define CIPHER_BLOCK_MAX 16

enum cipher_mode { MODE_XTS, MODE_CBC, MODE_ECB, MODE_CTR };
/* Where the initialisation vector of a sector comes from (7.4). */
enum ivgen { IVGEN_PLAIN64, IVGEN_PLAIN, IVGEN_ESSIV };

struct cipher_spec {
	const struct cipher *cipher;
	enum cipher_mode mode;
	enum ivgen ivgen;
	const struct nettle_hash *ivgen_hash; /* ESSIV only */
	const struct cipher *essiv;	      /* ESSIV only: the cipher that its hash gives a key for */
};

/* By the name of a creation key; NULL: there is none. */
const struct cipher *cipher_find(const char *name);
/* False: no such word. */
bool cipher_mode_find(const char *word, enum cipher_mode *mode);
bool ivgen_find(const char *word, enum ivgen *ivgen);
const char *cipher_mode_word(enum cipher_mode mode);
const char *ivgen_word(enum ivgen ivgen);

/* Finishes a spec whose cipher, mode, ivgen and ivgen_hash are set: whether they go together. */
int cipher_spec_check(struct cipher_spec *s, struct err *e) MUST_CHECK;
/* What the words of a LUKS header mean: "aes", "xts-plain64", a key of so many bytes. */
int cipher_spec_parse(struct cipher_spec *s, const char *luks_name, const char *mode,
		      size_t key_len, struct err *e) MUST_CHECK;
/* Bytes of the key: XTS takes two. */
size_t cipher_spec_key_len(const struct cipher_spec *s);
