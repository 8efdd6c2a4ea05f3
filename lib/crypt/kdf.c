#include "crypt/kdf.h"

#include <nettle/hmac.h>
#include <nettle/nettle-meta.h>
#include <nettle/pbkdf2.h>
#include <time.h>

#include "base/align.h"
#include "base/secret.h"
#include "crypt/hash_context.h"

struct mac {
	const struct nettle_hash *hash;
	union hash_context outer, inner, state;
};

static void mac_update(void *ctx, size_t n, const uint8_t *p)
{
	struct mac *m = ctx;

	hmac_update(&m->state, m->hash, n, p);
}

static void mac_digest(void *ctx, size_t n, uint8_t *out)
{
	struct mac *m = ctx;

	hmac_digest(&m->outer, &m->inner, &m->state, m->hash, n, out);
}

void kdf_pbkdf2(const struct nettle_hash *h, struct bytes pass, struct bytes salt,
		uint32_t iterations, uint8_t *out, size_t n)
{
	struct mac m = { .hash = h };

	hmac_set_key(&m.outer, &m.inner, &m.state, h, pass.n, pass.p);
	pbkdf2(&m, mac_update, mac_digest, h->digest_size, iterations, salt.n, salt.p, n, out);
	secret_wipe(&m, sizeof m);
}

/* Time that this thread has spent computing: others on the machine do not make a key weaker. */
static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

#define MEASURE_NS    UINT64_C(25000000)
#define MEASURE_FIRST 4096

uint64_t kdf_iterations(const struct nettle_hash *h, size_t n, uint64_t ms)
{
	static const uint8_t words[32] = { 1 };
	struct bytes any = { words, sizeof words };
	uint8_t out[HASH_DIGEST_MAX];
	uint32_t tried = MEASURE_FIRST;
	uint64_t spent;

	for (;; tried *= 2) {
		uint64_t began = thread_ns();

		kdf_pbkdf2(h, any, any, tried, out, MIN(n, sizeof out));
		spent = thread_ns() - began;
		if (spent >= MEASURE_NS || tried >= UINT32_C(1) << 30)
			break;
	}
	/* In floating point: nothing hangs on the last digit, and nothing can overflow. */
	double wanted = (double)tried * ((double)ms * 1e6) / (double)MAX(spent, 1);

	return wanted < 1e18 ? (uint64_t)wanted : UINT64_C(1000000000000000000);
}
