/* What PBKDF2 may take: what is made, and what is tried. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "crypt/hash.h"
#include "crypt/luks_internal.h"

static bool too_long(const struct luks_options *o)
{
	struct luks_effort effort;
	struct err e = ERR_INIT;

	return luks_effort_measure(o, &effort, &e) < 0 && e.code == ERR_INVALID &&
	       strstr(e.text, "would take too long");
}

/* 300 s, for whatever hash, are more than any machine of today does within the bound. */
static void nobody_makes_what_takes_too_long(void)
{
	static const char *const hashes[] = { "sha256", "sha512", "ripemd160", "md5" };
	struct luks_options o = luks_options_default();

	for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
		o.hash = hash_find(hashes[i]);
		o.iter_ms = 1;
		CHECK(!too_long(&o));
		o.iter_ms = 300000;
		CHECK(too_long(&o));
		o.iter_ms = UINT64_MAX / 2;
		CHECK(too_long(&o));
	}
}

static struct luks_header like_new(const char *hash)
{
	struct luks_header h = { .key_len = 64, .iterations = LUKS_ITERATIONS_MIN };

	snprintf(h.hash, sizeof h.hash, "%s", hash);
	return h;
}

static bool may_be_tried(const struct luks_header *h, unsigned slots, uint32_t iterations,
			 const char *says)
{
	struct err e = ERR_INIT;
	int ret = luks_slots_check(h, slots, iterations, &e);

	return says ? ret < 0 && strstr(e.text, says) : ret == 0;
}

/* Others take 2 s for a slot, on machines that do up to 25 million digests of SHA-256 a second, and an
 * eighth of that for the master key. */
static void what_others_make_is_tried(void)
{
	static const char one[] = "key slot 0 would take too long", all[] = "all key slots";
	struct luks_header h = like_new("sha256");

	h.iterations = 6250000;
	CHECK(may_be_tried(&h, 0xff, 25000000, NULL));
	CHECK(may_be_tried(&h, 0x01, 90000000, NULL));
	CHECK(may_be_tried(&h, 0xff, 30000000, all));
	CHECK(may_be_tried(&h, 0x01, 100000000, one));
	h = like_new("sha512");
	h.iterations = 1200000;
	CHECK(may_be_tried(&h, 0xff, 10000000, NULL));
	CHECK(may_be_tried(&h, 0xff, 12000000, all));
	CHECK(may_be_tried(&h, 0x01, 40000000, one));
	h = like_new("ripemd160");
	h.iterations = 1200000;
	CHECK(may_be_tried(&h, 0xff, 3000000, NULL));
	CHECK(may_be_tried(&h, 0x01, 13000000, one));
}

/* Where many take nearly too long, those that come last are passed over. */
static void the_work_ends_within_bounds(void)
{
	struct luks_header h = like_new("sha256");
	struct luks_plan p = luks_plan(&h);

	CHECK(!p.used && !p.tried);
	h.iterations = 1000;
	for (unsigned i = 1; i < LUKS_SLOTS; i++)
		h.slots[i] = (struct luks_slot){ .enabled = true, .iterations = 80000000 };
	p = luks_plan(&h);
	CHECK(p.used == 0xfe && p.tried == 0x0e && strstr(p.why.text, "key slot 4 was not tried"));
	h.slots[6].iterations = 20000000;
	p = luks_plan(&h);
	CHECK(p.tried == 0x0e && strstr(p.why.text, "key slot 4 was not tried"));
	h.slots[6].iterations = 1000;
	h.slots[2].iterations = 110000000;
	p = luks_plan(&h);
	CHECK(p.tried == 0x5a && strstr(p.why.text, "key slot 2 would take too long to try"));
}

int main(void)
{
	RUN(nobody_makes_what_takes_too_long);
	RUN(what_others_make_is_tried);
	RUN(the_work_ends_within_bounds);
	return DONE();
}
