/* Keys of LUKS headers: derivation, stripes, slots. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "bytes_help.h"
#include "check.h"
#include "crypt/af.h"
#include "crypt/kdf.h"
#include "crypt/luks.h"

#define SET(field, word) snprintf(field, sizeof field, "%s", word)

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static bool derives(const char *hash, const char *pass, const char *salt, uint32_t iterations,
		    const char *want)
{
	uint8_t bytes[64], got[64];
	size_t n = hex(want, bytes);

	struct err e = ERR_INIT;

	return kdf_pbkdf2(hash_find(hash), text(pass), text(salt), iterations, NULL, got, n, &e) ==
		       0 &&
	       !memcmp(got, bytes, n);
}

/* RFC 6070 for SHA-1, RFC 7914 (section 11) for SHA-256. */
static void pbkdf2_is_that_of_the_rfcs(void)
{
	CHECK(derives("sha1", "password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"));
	CHECK(derives("sha1", "password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1"));
	CHECK(derives("sha1", "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt",
		      4096, "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"));
	CHECK(derives("sha256", "passwd", "salt", 1,
		      "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
		      "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"));
	CHECK(derives("sha256", "Password", "NaCl", 80000,
		      "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
		      "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"));
}

/* The digest of "abc", as FIPS 180, RFC 1321 and the authors of RIPEMD-160 give it. */
static void hashes_are_known_by_name(void)
{
	static const char *const cases[][2] = {
		{ "md5", "900150983cd24fb0d6963f7d28e17f72" },
		{ "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "ripemd160", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc" },
		{ "sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7" },
		{ "sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163" },
		{ "sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct nettle_hash *h = hash_find(cases[i][0]);
		uint8_t want[64], got[64];
		size_t n = hex(cases[i][1], want);

		CHECK(h);
		hash_of(h, text("a"), text("bc"), got, n);
		CHECK(!memcmp(got, want, n));
	}
	CHECK(!hash_find("sha3_256") && !hash_find("") && !hash_find("SHA1"));
}

static void stripes_give_the_key_back_and_all_are_needed(void)
{
	uint8_t key[40], got[40], split[40 * 50];
	struct err e = ERR_INIT;

	for (size_t n = 1; n <= sizeof key; n += 13) {
		for (size_t i = 0; i < n; i++)
			key[i] = (uint8_t)(i + n);
		CHECK(af_split(hash_find("sha1"), key, n, 50, split, &e) == 0);
		af_merge(hash_find("sha1"), split, n, 50, got);
		CHECK(!memcmp(got, key, n));
		split[17 * n] ^= 1;
		af_merge(hash_find("sha1"), split, n, 50, got);
		/* One byte comes out right by chance now and then, 14 don't. */
		CHECK(n == 1 || memcmp(got, key, n) != 0);
	}
}

/* A header with its key material, as a file holds them. */
struct area {
	struct luks_header h;
	struct luks_key *key;
	uint8_t *bytes;
	unsigned reads;
};

static int area_read(void *arg, uint64_t off, void *buf, size_t n, struct err *e)
{
	struct area *a = arg;

	(void)e;
	a->reads++;
	memcpy(buf, a->bytes + off, n);
	return 0;
}

static struct luks_options quick(void)
{
	struct luks_options o = luks_options_default();

	o.iter_ms = 1;
	return o;
}

static struct area area_new(const struct luks_options *o)
{
	struct area a = { .bytes = calloc(1, luks_area_len(o)) };
	struct err e = ERR_INIT;

	struct luks_effort effort = { 0 };

	CHECK(luks_effort_measure(o, &effort, &e) == 0);
	a.key = luks_new(&a.h, o, &effort, NULL, &e);
	CHECK(a.key && a.h.payload_sector * UINT64_C(512) == luks_area_len(o));
	return a;
}

static void area_free(struct area *a)
{
	secret_free(a->key);
	free(a->bytes);
}

static bool add(struct area *a, unsigned slot, const char *pass)
{
	struct err e = ERR_INIT;

	return luks_slot_fill(&a->h, slot, a->key, text(pass), LUKS_ITERATIONS_MIN, NULL,
			      a->bytes + a->h.slots[slot].key_sector * UINT64_C(512), &e) == 0;
}

/* The slot that opens; -1: none does. */
static int opens(struct area *a, const char *pass)
{
	const struct luks_source from = { area_read, a };
	struct err e = ERR_INIT;
	unsigned slot = 99;
	struct luks_key *key = luks_unlock(&a->h, &from, text(pass), &slot, &e);
	bool same = key && key->len == a->key->len && !memcmp(key->bytes, a->key->bytes, key->len);

	CHECK(!key == err_is(&e) && !key == !same);
	CHECK(key || (e.code == ERR_INVALID && strstr(e.text, "wrong passphrase")));
	secret_free(key);
	return same ? (int)slot : -1;
}

static void each_passphrase_opens_its_slot(void)
{
	struct luks_options o = quick();
	struct area a = area_new(&o);

	CHECK(a.h.key_len == 64 && a.h.iterations >= LUKS_ITERATIONS_MIN);
	CHECK(!strcmp(a.h.cipher, "aes") && !strcmp(a.h.mode, "xts-plain64"));
	CHECK(!strcmp(a.h.hash, "sha256") && strlen(a.h.uuid) == 36 && a.h.uuid[14] == '4');
	CHECK(add(&a, 0, "first") && add(&a, 7, "") && add(&a, 3, "third"));
	CHECK(a.h.slots[7].iterations >= LUKS_ITERATIONS_MIN);
	CHECK(opens(&a, "first") == 0 && opens(&a, "third") == 3 && opens(&a, "") == 7);
	a.reads = 0;
	CHECK(opens(&a, "fourth") == -1 && a.reads == 3);
	a.h.slots[3].enabled = false;
	CHECK(opens(&a, "third") == -1);
	a.bytes[a.h.slots[0].key_sector * 512 + 5] ^= 1;
	CHECK(opens(&a, "first") == -1);
	area_free(&a);
}

/* The header's 592 bytes, decoded again, say the same. */
static void a_new_header_passes_the_checks_of_a_reader(void)
{
	static const struct {
		const char *cipher, *hash, *mode;
		enum cipher_mode m;
		enum ivgen ivgen;
	} cases[] = {
		{ "aes-128", "sha1", "xts-plain", MODE_XTS, IVGEN_PLAIN },
		{ "serpent-256", "ripemd160", "cbc-essiv:sha256", MODE_CBC, IVGEN_ESSIV },
		{ "cast5-128", "md5", "cbc-plain64", MODE_CBC, IVGEN_PLAIN64 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct luks_options o = quick();
		uint8_t bytes[LUKS_HEADER_BYTES];
		struct wr w = wr_over(bytes, sizeof bytes);
		struct rd r = rd_over(bytes, sizeof bytes);
		struct luks_header h;
		struct err e = ERR_INIT;

		o.spec = (struct cipher_spec){ .cipher = cipher_find(cases[i].cipher),
					       .mode = cases[i].m, .ivgen = cases[i].ivgen,
					       .ivgen_hash = hash_find("sha256") };
		o.hash = hash_find(cases[i].hash);
		struct area a = area_new(&o);

		CHECK(add(&a, 2, "x"));
		luks_header_encode(&w, &a.h);
		CHECK(luks_header_decode(&r, luks_area_len(&o), &h, &e) == 0);
		CHECK(!strcmp(h.mode, cases[i].mode) && !memcmp(&h.slots, &a.h.slots, sizeof h.slots));
		a.h = h;
		CHECK(opens(&a, "x") == 2 && opens(&a, "y") == -1);
		area_free(&a);
	}
}

static bool refuses(const struct luks_options *o, const char *says)
{
	struct luks_header h;
	struct err e = ERR_INIT;
	const struct luks_effort effort = { LUKS_ITERATIONS_MIN, LUKS_ITERATIONS_MIN };
	struct luks_key *key = luks_new(&h, o, &effort, NULL, &e);

	return !key && e.code == ERR_INVALID && strstr(e.text, says);
}

static void what_should_not_be_made_is_refused(void)
{
	struct luks_options o = quick();

	o.spec.mode = MODE_ECB;
	CHECK(refuses(&o, "ecb"));
	o.spec.mode = MODE_CTR;
	CHECK(refuses(&o, "ctr"));
	o.spec.mode = MODE_CBC;
	o.spec.cipher = cipher_find("aes-192");
	CHECK(refuses(&o, "24 bytes"));
	o.spec.cipher = cipher_find("cast5-128");
	o.spec.mode = MODE_XTS;
	CHECK(refuses(&o, "blocks of 8 bytes"));
}

static bool fails(struct area *a, enum err_code code, const char *says)
{
	const struct luks_source from = { area_read, a };
	struct err e = ERR_INIT;
	struct luks_key *key = luks_unlock(&a->h, &from, text("x"), NULL, &e);

	return !key && e.code == code && strstr(e.text, says);
}

/* What a header says of names and numbers is looked at before any time is spent. */
static void hostile_headers_cost_nothing(void)
{
	struct luks_options o = quick();
	struct area a = area_new(&o);
	struct luks_header good;

	CHECK(fails(&a, ERR_INVALID, "no key slot is in use"));
	CHECK(add(&a, 0, "y") && add(&a, 1, "z"));
	good = a.h;
	a.h.slots[0].iterations = a.h.slots[1].iterations = LUKS_ITERATIONS_MAX / 2;
	CHECK(fails(&a, ERR_UNSUPPORTED, "key slot 0 would take too long to try: 134217728 "));
	a.h = good;
	a.h.iterations = LUKS_ITERATIONS_MAX;
	CHECK(fails(&a, ERR_UNSUPPORTED, "and 268435456 for the master key"));
	a.h = good;
	/* nor is a slot made that would be one too many */
	a.h.slots[0].iterations = LUKS_ITERATIONS_MAX - 4000;
	CHECK(!add(&a, 2, "w"));
	a.h = good;
	SET(a.h.hash, "sha3");
	CHECK(fails(&a, ERR_UNSUPPORTED, "hash 'sha3'"));
	a.h = good;
	SET(a.h.cipher, "rot13");
	CHECK(fails(&a, ERR_UNSUPPORTED, "cipher 'rot13'"));
	a.h = good;
	SET(a.h.mode, "xts-plain65");
	CHECK(fails(&a, ERR_UNSUPPORTED, "IV generator 'plain65'"));
	a.h = good;
	a.h.key_len = 40;
	CHECK(fails(&a, ERR_INVALID, "no key of 40 bytes"));
	CHECK(!a.reads);
	area_free(&a);
}

/* A slot that would take too long does not keep the others from being tried. */
static void what_takes_too_long_is_passed_over(void)
{
	struct luks_options o = quick();
	struct area a = area_new(&o);

	CHECK(add(&a, 0, "first") && add(&a, 1, "second") && add(&a, 2, "third"));
	a.h.slots[1].iterations = LUKS_ITERATIONS_MAX;
	CHECK(opens(&a, "first") == 0 && opens(&a, "third") == 2);
	CHECK(fails(&a, ERR_UNSUPPORTED, "key slot 1 would take too long to try"));
	a.h.slots[1].iterations = UINT32_MAX;
	CHECK(opens(&a, "first") == 0 && opens(&a, "third") == 2);
	CHECK(fails(&a, ERR_UNSUPPORTED, "key slot 1 would take too long to try"));
	CHECK(fails(&a, ERR_UNSUPPORTED, "; the passphrase opens none of those that were tried"));
	area_free(&a);
}

static void a_signal_stops_it(void)
{
	static atomic_int stop = 1;
	const struct watch watch = { .stop = &stop };
	const struct luks_effort effort = { 10000, 10000 };
	struct luks_options o = quick();
	struct area a = area_new(&o);
	const struct luks_source from = { area_read, &a, &watch };
	struct luks_header h;
	uint8_t *material = a.bytes + a.h.slots[0].key_sector * UINT64_C(512);
	struct err e = ERR_INIT;

	CHECK(!luks_new(&h, &o, &effort, &watch, &e) && e.code == ERR_STOPPED);
	e = ERR_INIT;
	CHECK(luks_slot_fill(&a.h, 0, a.key, text("x"), 10000, &watch, material, &e) < 0 &&
	      e.code == ERR_STOPPED && !a.h.slots[0].enabled);
	e = ERR_INIT;
	CHECK(luks_slot_fill(&a.h, 0, a.key, text("x"), 10000, NULL, material, &e) == 0);
	CHECK(!luks_unlock(&a.h, &from, text("x"), NULL, &e) && e.code == ERR_STOPPED);
	CHECK(opens(&a, "x") == 0);
	area_free(&a);
}

/* 24 bytes of key make 187.5 sectors of stripes: others may have written such a header. */
static void half_a_sector_of_stripes_is_read(void)
{
	struct luks_options o = quick();
	struct area a = area_new(&o);

	a.h.key_len = (uint32_t)(a.key->len = 24);
	SET(a.h.mode, "cbc-plain64");
	memset(a.h.digest, 0, sizeof a.h.digest);
	a.h.iterations = 1;
	struct err e = ERR_INIT;

	CHECK(kdf_pbkdf2(hash_find("sha256"), (struct bytes){ a.key->bytes, 24 },
			 (struct bytes){ a.h.salt, sizeof a.h.salt }, 1, NULL, a.h.digest,
			 sizeof a.h.digest, &e) == 0);
	CHECK(luks_material_len(&a.h) == 192 * 512);
	CHECK(add(&a, 0, "x") && opens(&a, "x") == 0);
	area_free(&a);
}

int main(void)
{
	RUN(pbkdf2_is_that_of_the_rfcs);
	RUN(hashes_are_known_by_name);
	RUN(stripes_give_the_key_back_and_all_are_needed);
	RUN(each_passphrase_opens_its_slot);
	RUN(a_new_header_passes_the_checks_of_a_reader);
	RUN(what_should_not_be_made_is_refused);
	RUN(hostile_headers_cost_nothing);
	RUN(what_takes_too_long_is_passed_over);
	RUN(a_signal_stops_it);
	RUN(half_a_sector_of_stripes_is_read);
	return DONE();
}
