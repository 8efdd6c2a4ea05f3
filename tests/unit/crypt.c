/* Ciphers, modes and IVs of sectors, against published vectors. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "check.h"
#include "crypt/cipher.h"
#include "crypt/hash.h"
#include "crypt/sector.h"
#include "bytes_help.h"

#define SECTORS_MAX 40
static uint8_t buf[SECTORS_MAX * CRYPT_SECTOR], other[SECTORS_MAX * CRYPT_SECTOR];

static struct cipher_spec spec_of(const char *name, enum cipher_mode mode, enum ivgen ivgen,
				  const char *hash)
{
	struct cipher_spec s = { .cipher = cipher_find(name), .mode = mode, .ivgen = ivgen,
				 .ivgen_hash = hash ? hash_find(hash) : NULL };
	struct err e = ERR_INIT;

	CHECK(s.cipher && cipher_spec_check(&s, &e) == 0);
	return s;
}

static struct sector_cipher *cipher_of(const struct cipher_spec *s, const char *key)
{
	uint8_t bytes[64];
	struct err e = ERR_INIT;

	CHECK(hex(key, bytes) == cipher_spec_key_len(s));
	struct sector_cipher *c = sector_cipher_new(s, bytes, &e);

	CHECK(c);
	return c;
}

/* What the sector in buf becomes begins with `want`, and becomes what it was again. */
static void sector_becomes(const struct cipher_spec *s, const char *key, uint64_t sector,
			   const char *want)
{
	struct sector_cipher *c = cipher_of(s, key);
	uint8_t bytes[CRYPT_SECTOR], was[CRYPT_SECTOR];
	size_t n = hex(want, bytes);

	memcpy(was, buf, sizeof was);
	sector_encrypt(c, sector, buf, CRYPT_SECTOR);
	CHECK(!memcmp(buf, bytes, n));
	sector_decrypt(c, sector, buf, CRYPT_SECTOR);
	CHECK(!memcmp(buf, was, sizeof was));
	secret_free(c);
}

static void fill(int value)
{
	memset(buf, value, CRYPT_SECTOR);
}

static void count_up(void)
{
	for (size_t i = 0; i < CRYPT_SECTOR; i++)
		buf[i] = (uint8_t)i;
}

static void block_in_front(const char *text)
{
	fill(0);
	hex(text, buf);
}

/* IEEE Std 1619-2007, annex B: vectors 1, 2, 4 and 10. A data unit that is longer begins with the
 * same blocks. */
static void xts_is_that_of_ieee_1619(void)
{
	struct cipher_spec a128 = spec_of("aes-128", MODE_XTS, IVGEN_PLAIN64, NULL);
	struct cipher_spec a256 = spec_of("aes-256", MODE_XTS, IVGEN_PLAIN64, NULL);

	fill(0);
	sector_becomes(&a128, "0000000000000000000000000000000000000000000000000000000000000000", 0,
		       "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e");
	fill(0x44);
	sector_becomes(&a128, "1111111111111111111111111111111122222222222222222222222222222222",
		       0x3333333333,
		       "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0");
	count_up();
	sector_becomes(&a128, "2718281828459045235360287471352631415926535897932384626433832795", 0,
		       "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"
		       "c78cf7f5e543445f8333d8fa7f56000005279fa5d8b5e4ad40e736ddb4d35412");
	count_up();
	sector_becomes(&a256,
		       "2718281828459045235360287471352662497757247093699959574966967627"
		       "3141592653589793238462643383279502884197169399375105820974944592",
		       0xff, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b");
}

/* FIPS 197 (AES), NESSIE (Serpent, set 1 vector 0), the Twofish paper, RFC 2144 (CAST-128), and for
 * DES the examples of the textbooks and of SP 800-67. */
static void ciphers_are_those_of_their_standards(void)
{
	static const struct {
		const char *name, *key, *plain, *want;
	} cases[] = {
		{ "aes-128", "000102030405060708090a0b0c0d0e0f",
		  "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a" },
		{ "aes-192", "000102030405060708090a0b0c0d0e0f1011121314151617",
		  "00112233445566778899aabbccddeeff", "dda97ca4864cdfe06eaf70a0ec0d7191" },
		{ "aes-256", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		  "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089" },
		{ "serpent-128", "80000000000000000000000000000000",
		  "00000000000000000000000000000000", "264e5481eff42a4606abda06c0bfda3d" },
		{ "serpent-192", "800000000000000000000000000000000000000000000000",
		  "00000000000000000000000000000000", "9e274ead9b737bb21efcfca548602689" },
		{ "serpent-256",
		  "8000000000000000000000000000000000000000000000000000000000000000",
		  "00000000000000000000000000000000", "a223aa1288463c0e2be38ebd825616c0" },
		{ "twofish-128", "00000000000000000000000000000000",
		  "00000000000000000000000000000000", "9f589f5cf6122c32b6bfec2f2ae8c35a" },
		{ "twofish-192", "0123456789abcdeffedcba98765432100011223344556677",
		  "00000000000000000000000000000000", "cfd1d2e5a9be9cdf501f13b892bd2248" },
		{ "twofish-256",
		  "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff",
		  "00000000000000000000000000000000", "37527be0052334b89f0cfccae87cfa20" },
		{ "cast5-128", "0123456712345678234567893456789a", "0123456789abcdef",
		  "238b4fe5847e44b2" },
		{ "des", "133457799bbcdff1", "0123456789abcdef", "85e813540f0ab405" },
		{ "3des", "0123456789abcdef23456789abcdef01456789abcdef0123",
		  "5468652071756663", "a826fd8ce53b855f" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cipher_spec s = spec_of(cases[i].name, MODE_ECB, IVGEN_PLAIN64, NULL);

		block_in_front(cases[i].plain);
		sector_becomes(&s, cases[i].key, 7, cases[i].want);
	}
}

/* format.md B.8: what another program wrote with the password "abc" at sector 256. */
static void legacy_aes_is_what_others_write(void)
{
	uint8_t want[16];
	struct err e = ERR_INIT;
	struct sector_cipher *c = sector_cipher_legacy((const uint8_t *)"abc", 3, &e);

	fill(0x41);
	sector_encrypt(c, 256, buf, CRYPT_SECTOR);
	CHECK(hex("fcb8aa54f77b1aec8505594c796d30b2", want) == 16 && !memcmp(buf, want, 16));
	secret_free(c);

	/* Longer passwords are cut, an empty one is a key of zeros. */
	struct sector_cipher *a = sector_cipher_legacy((const uint8_t *)"0123456789abcdefXYZ", 19, &e);
	struct sector_cipher *b = sector_cipher_legacy((const uint8_t *)"0123456789abcdef", 16, &e);

	fill(1);
	memcpy(other, buf, CRYPT_SECTOR);
	sector_encrypt(a, 1, buf, CRYPT_SECTOR);
	sector_encrypt(b, 1, other, CRYPT_SECTOR);
	CHECK(!memcmp(buf, other, CRYPT_SECTOR));
	secret_free(a);
	secret_free(b);
	c = sector_cipher_legacy((const uint8_t *)"", 0, &e);
	CHECK(c);
	secret_free(c);
}

/* One block with its IV in front, by ECB alone: what a mode comes to for the first block. */
static void ecb_block(const char *name, const char *key, uint8_t *block)
{
	struct cipher_spec s = spec_of(name, MODE_ECB, IVGEN_PLAIN64, NULL);
	struct sector_cipher *c = cipher_of(&s, key);
	uint8_t sector[CRYPT_SECTOR] = { 0 };

	memcpy(sector, block, 16);
	sector_encrypt(c, 0, sector, sizeof sector);
	memcpy(block, sector, 16);
	secret_free(c);
}

static const char KEY[] = "000102030405060708090a0b0c0d0e0f";

static void ivs_are_sector_numbers(void)
{
	const uint64_t sector = 0x1122334455667788;
	struct cipher_spec plain64 = spec_of("aes-128", MODE_CTR, IVGEN_PLAIN64, NULL);
	struct cipher_spec plain = spec_of("aes-128", MODE_CTR, IVGEN_PLAIN, NULL);
	uint8_t block[16], want64[16] = { 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11 };
	uint8_t want[16] = { 0x88, 0x77, 0x66, 0x55 };
	struct sector_cipher *c;

	/* Counter mode shows the encrypted IV where the data is zeros. */
	ecb_block("aes-128", KEY, want64);
	ecb_block("aes-128", KEY, want);
	fill(0);
	c = cipher_of(&plain64, KEY);
	sector_encrypt(c, sector, buf, CRYPT_SECTOR);
	CHECK(!memcmp(buf, want64, sizeof block));
	secret_free(c);
	fill(0);
	c = cipher_of(&plain, KEY);
	sector_encrypt(c, sector, buf, CRYPT_SECTOR);
	CHECK(!memcmp(buf, want, sizeof block));
	secret_free(c);
}

/* ESSIV: the sector number, encrypted with the hash of the key, whatever the width of that makes
 * of the cipher. SHA-256 of 00 01 .. 0f: be45cb26... */
static void essiv_encrypts_the_sector_number(void)
{
	struct cipher_spec s = spec_of("aes-128", MODE_CTR, IVGEN_ESSIV, "sha256");
	uint8_t want[16] = { 5 };
	struct sector_cipher *c = cipher_of(&s, KEY);

	CHECK(s.essiv == cipher_find("aes-256"));
	ecb_block("aes-256", "be45cb2605bf36bebde684841a28f0fd43c69850a3dce5fedba69928ee3a8991",
		  want);
	ecb_block("aes-128", KEY, want);
	fill(0);
	sector_encrypt(c, 5, buf, CRYPT_SECTOR);
	CHECK(!memcmp(buf, want, sizeof want));
	secret_free(c);
}

/* The counter of CTR is big-endian and carries. */
static void a_counter_carries(void)
{
	struct cipher_spec s = spec_of("aes-128", MODE_CTR, IVGEN_PLAIN64, NULL);
	struct sector_cipher *c = cipher_of(&s, KEY);
	uint8_t want[16] = { 1, [15] = 31 };

	ecb_block("aes-128", KEY, want);
	fill(0);
	sector_encrypt(c, 1, buf, CRYPT_SECTOR);
	CHECK(!memcmp(buf + 31 * 16, want, sizeof want));
	secret_free(c);
}

/* Many sectors at once come to what they come to one by one, whatever is done side by side. */
static void batches_change_nothing(void)
{
	static const struct {
		const char *name;
		enum cipher_mode mode;
		enum ivgen ivgen;
		const char *hash;
	} cases[] = {
		{ "aes-256", MODE_XTS, IVGEN_PLAIN64, NULL },
		{ "serpent-128", MODE_XTS, IVGEN_ESSIV, "sha256" },
		{ "twofish-192", MODE_CBC, IVGEN_ESSIV, "sha256" },
		{ "aes-128", MODE_CBC, IVGEN_PLAIN, NULL },
		{ "cast5-128", MODE_CBC, IVGEN_PLAIN64, NULL },
		{ "cast5-128", MODE_CTR, IVGEN_ESSIV, "md5" },
		{ "aes-192", MODE_CTR, IVGEN_PLAIN64, NULL },
		{ "3des", MODE_ECB, IVGEN_PLAIN64, NULL },
	};
	uint8_t key[64];
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (uint8_t)(i * 7 + 1);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cipher_spec s =
			spec_of(cases[i].name, cases[i].mode, cases[i].ivgen, cases[i].hash);
		struct sector_cipher *c = sector_cipher_new(&s, key, &e);

		for (size_t k = 0; k < sizeof buf; k++)
			buf[k] = other[k] = (uint8_t)(k * k >> 3);
		sector_encrypt(c, UINT32_MAX - 3, buf, sizeof buf);
		for (size_t k = 0; k < SECTORS_MAX; k++)
			sector_encrypt(c, UINT32_MAX - 3 + k, other + k * CRYPT_SECTOR, CRYPT_SECTOR);
		CHECK(!memcmp(buf, other, sizeof buf));
		sector_decrypt(c, UINT32_MAX - 3, buf, sizeof buf);
		for (size_t k = 0; k < SECTORS_MAX; k++)
			sector_decrypt(c, UINT32_MAX - 3 + k, other + k * CRYPT_SECTOR, CRYPT_SECTOR);
		CHECK(!memcmp(buf, other, sizeof buf) && buf[100] == (uint8_t)(100 * 100 >> 3));
		secret_free(c);
	}
}

static bool parses(const char *cipher, const char *mode, size_t key_len, const char *says)
{
	struct cipher_spec s;
	struct err e = ERR_INIT;

	if (cipher_spec_parse(&s, cipher, mode, key_len, &e) == 0)
		return !says;
	return says && strstr(e.text, says);
}

static void words_of_a_header_are_understood_or_refused(void)
{
	CHECK(parses("aes", "xts-plain64", 64, NULL) && parses("aes", "xts-plain64", 32, NULL));
	CHECK(parses("aes", "cbc-essiv:sha256", 16, NULL) && parses("aes", "ecb", 32, NULL));
	CHECK(parses("aes", "cbc-plain:sha1", 24, NULL) && parses("cast5", "cbc-plain64", 16, NULL));
	CHECK(parses("aes", "xts-plain64", 33, "no key of 33 bytes"));
	CHECK(parses("aes", "cbc-plain64", 17, "no key of 17 bytes"));
	CHECK(parses("aes", "gcm-plain64", 32, "mode 'gcm-plain64' is not supported"));
	CHECK(parses("aes", "cbc", 32, "mode 'cbc' is not supported"));
	CHECK(parses("aes", "cbc-benbi", 32, "IV generator 'benbi' is not supported"));
	CHECK(parses("aes", "cbc-essiv", 32, "essiv needs a hash"));
	CHECK(parses("aes", "cbc-essiv:", 32, "hash '' is not supported"));
	CHECK(parses("aes", "cbc-essiv:whirlpool", 32, "hash 'whirlpool' is not supported"));
	CHECK(parses("aes", "cbc-essiv:sha512", 32, "takes no key of 64 bytes"));
	CHECK(parses("cast5", "xts-plain64", 32, "blocks of 8 bytes"));
	CHECK(parses("", "xts-plain64", 64, "cipher '' is not supported"));
	CHECK(parses("camellia", "xts-plain64", 64, "cipher 'camellia' is not supported"));
	CHECK(parses("aes", "", 32, "mode '' is not supported"));
}

int main(void)
{
	RUN(xts_is_that_of_ieee_1619);
	RUN(ciphers_are_those_of_their_standards);
	RUN(legacy_aes_is_what_others_write);
	RUN(ivs_are_sector_numbers);
	RUN(essiv_encrypts_the_sector_number);
	RUN(a_counter_carries);
	RUN(batches_change_nothing);
	RUN(words_of_a_header_are_understood_or_refused);
	return DONE();
}
