#include "crypt/kdf.h"

#include <nettle/hmac.h>
#include <nettle/memxor.h>
#include <nettle/nettle-meta.h>
#include <string.h>
#include <time.h>

#include "base/align.h"
#include "base/secret.h"
#include "crypt/hash_context.h"

struct mac {
	const struct nettle_hash *hash;
	union hash_context outer, inner, state;
};

#define AT_ONCE 4096 /* iterations between two looks at whether to stop: some milliseconds */

static void mac_run(struct mac *m, size_t n, const uint8_t *p, uint8_t *out)
{
	hmac_update(&m->state, m->hash, n, p);
	hmac_digest(&m->outer, &m->inner, &m->state, m->hash, m->hash->digest_size, out);
}

/* Block nr (from 1 on) of the key. `round` has the last digest. */
static int block_make(struct mac *m, struct bytes salt, uint32_t nr, uint32_t iterations,
		      const struct watch *watch, uint8_t *round, uint8_t *block, struct err *e)
{
	uint8_t number[4];

	be32_put(number, nr);
	hmac_update(&m->state, m->hash, salt.n, salt.p);
	mac_run(m, sizeof number, number, round);
	memcpy(block, round, m->hash->digest_size);
	for (uint32_t i = 1; i < iterations; i++) {
		if (i % AT_ONCE == 0 && watch_stopped(watch, e) < 0)
			return -1;
		mac_run(m, m->hash->digest_size, round, round);
		memxor(block, round, m->hash->digest_size);
	}
	return 0;
}

int kdf_pbkdf2(const struct nettle_hash *h, struct bytes pass, struct bytes salt,
	       uint32_t iterations, const struct watch *watch, uint8_t *out, size_t n,
	       struct err *e)
{
	struct mac m = { .hash = h };
	uint8_t round[HASH_DIGEST_MAX], block[HASH_DIGEST_MAX];
	uint32_t nr = 1;
	int ret = 0;

	hmac_set_key(&m.outer, &m.inner, &m.state, h, pass.n, pass.p);
	for (size_t piece; ret == 0 && n; n -= piece, out += piece) {
		piece = MIN(n, h->digest_size);
		ret = block_make(&m, salt, nr++, iterations, watch, round, block, e);
		memcpy(out, block, piece);
	}
	secret_wipe(&m, sizeof m);
	secret_wipe(round, sizeof round);
	secret_wipe(block, sizeof block);
	return ret;
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
	struct err never = ERR_INIT; /* nobody stops it */
	uint64_t spent;

	for (;; tried *= 2) {
		uint64_t began = thread_ns();

		int ret = kdf_pbkdf2(h, any, any, tried, NULL, out, MIN(n, sizeof out), &never);

		spent = thread_ns() - began;
		if (ret < 0 || spent >= MEASURE_NS || tried >= UINT32_C(1) << 30)
			break;
	}
	/* In floating point: nothing hangs on the last digit, and nothing can overflow. */
	double wanted = (double)tried * ((double)ms * 1e6) / (double)MAX(spent, 1);

	return wanted < 1e18 ? (uint64_t)wanted : UINT64_C(1000000000000000000);
}
