/* How long trying a passphrase takes. Whoever wrote a header says so, and it must not take forever: one
 * slot may take so much, and all of them together, and nothing is made that would take more. */
#include <inttypes.h>
#include <nettle/nettle-meta.h>

#include "base/align.h"
#include "crypt/kdf.h"
#include "crypt/luks_internal.h"

#define DIGEST_SHARE 8 /* of the time that a slot takes */

/* In digests of SHA-256. */
static uint64_t work(const struct nettle_hash *h, size_t n, uint32_t iterations)
{
	return iterations * (uint64_t)div_up(n, hash_len(h)) * hash_cost(h);
}

/* What trying a passphrase on this slot takes. */
static uint64_t slot_work(const struct luks_header *h, unsigned nr)
{
	const struct nettle_hash *hash = hash_find(h->hash);

	return work(hash, h->key_len, h->slots[nr].iterations) +
	       work(hash, LUKS_DIGEST_BYTES, h->iterations);
}

static int takes_too_long(uint64_t iterations, const struct nettle_hash *h, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "opening the image would take too long: %" PRIu64 " PBKDF2 iterations with %s; "
		       "a shorter iter-time needs fewer",
		       iterations, h->name);
}

static int iterations_measure(const struct nettle_hash *h, size_t n, uint64_t ms,
			      uint32_t *iterations, struct err *e)
{
	uint64_t nr = MAX(kdf_iterations(h, n, ms), LUKS_ITERATIONS_MIN);

	if (nr > LUKS_ITERATIONS_MAX || work(h, n, (uint32_t)nr) > LUKS_SLOT_WORK_MAX)
		return takes_too_long(nr, h, e);
	*iterations = (uint32_t)nr;
	return 0;
}

int luks_effort_measure(const struct luks_options *o, struct luks_effort *f, struct err *e)
{
	size_t key_len = cipher_spec_key_len(&o->spec);

	if (iterations_measure(o->hash, key_len, o->iter_ms, &f->slot, e) < 0 ||
	    iterations_measure(o->hash, LUKS_DIGEST_BYTES, div_up(o->iter_ms, DIGEST_SHARE),
			       &f->digest, e) < 0)
		return -1;
	if (work(o->hash, key_len, f->slot) + work(o->hash, LUKS_DIGEST_BYTES, f->digest) >
	    LUKS_SLOT_WORK_MAX)
		return takes_too_long(f->slot, o->hash, e);
	return 0;
}

int luks_slot_iterations(const struct luks_header *h, uint64_t iter_ms, uint32_t *iterations,
			 struct err *e)
{
	const struct nettle_hash *hash = luks_hash(h, e);

	return hash ? iterations_measure(hash, h->key_len, iter_ms, iterations, e) : -1;
}

int luks_slot_check(const struct luks_header *h, unsigned nr, struct err *e)
{
	if (!luks_hash(h, e))
		return -1;
	if (slot_work(h, nr) <= LUKS_SLOT_WORK_MAX)
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		       "key slot %u would take too long to try: %" PRIu32 " PBKDF2 iterations, and %"
		       PRIu32 " for the master key",
		       nr, h->slots[nr].iterations, h->iterations);
}

int luks_slots_check(const struct luks_header *h, unsigned slots, uint32_t iterations,
		     struct err *e)
{
	struct luks_header next = *h;
	uint64_t sum = 0;

	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		if (slots >> i & 1)
			next.slots[i].iterations = iterations;
		else if (!h->slots[i].enabled)
			continue;
		if (luks_slot_check(&next, i, e) < 0)
			return -1;
		sum += slot_work(&next, i);
	}
	if (sum <= LUKS_WORK_MAX)
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		       "trying all key slots would take too long: too many PBKDF2 iterations together");
}

struct luks_plan luks_plan(const struct luks_header *h)
{
	struct luks_plan p = { .why = ERR_INIT };
	uint64_t left = LUKS_WORK_MAX;

	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		if (!h->slots[i].enabled)
			continue;
		p.used |= 1u << i;
		if (luks_slot_check(h, i, &p.why) < 0)
			continue;
		uint64_t work = slot_work(h, i);

		if (work <= left) {
			left -= work;
			p.tried |= 1u << i;
			continue;
		}
		err_set(&p.why, ERR_UNSUPPORTED,
			"too many PBKDF2 iterations in all key slots together: key slot %u was not "
			"tried",
			i);
	}
	return p;
}
