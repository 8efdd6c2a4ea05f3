#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "format/luks_header.h"
#include "image/writer.h"

/* Changes to the key slots of a LUKS image (7.7). The master key stays, and with it all data. A key
 * is there in full before the header says that its slot is in use, and the header says that a slot
 * is not before its key is overwritten; so a crash leaves each slot as it was, as it is to be, or
 * not in use. Everything is durable when a change returns. */
struct luks_key;

struct key_slots {
	struct image_writer *writer;
	struct luks_header header;
	struct luks_key *key;	/* the master key */
	const struct watch *watch; /* stops deriving keys before the first change; may be NULL */
	bool begun;
};

/* Loads the header, and gets the master key with a passphrase of it, or as it was kept (struct spec).
 * `w`: of a LUKS image; borrowed. */
int key_slots_init(struct key_slots *k, struct image_writer *w, struct bytes pass,
		   const struct watch *watch, struct err *e) MUST_CHECK;
void key_slots_fini(struct key_slots *k);

/* Whether the passphrase opens slot nr, which is in use. */
int key_slots_match(struct key_slots *k, unsigned nr, struct bytes pass, bool *matches,
		    struct err *e) MUST_CHECK;
/* How many PBKDF2 iterations take so long, and whether the image could still be opened if these slots
 * (bit 0: slot 0) had so many: ERR_INVALID, ERR_UNSUPPORTED when that would take too long. */
int key_slots_iterations(const struct key_slots *k, uint64_t iter_ms, uint32_t *iterations,
			 struct err *e) MUST_CHECK;
int key_slots_check(const struct key_slots *k, unsigned slots, uint32_t iterations,
		    struct err *e) MUST_CHECK;
/* Puts the key into slot nr, which is not in use, for another passphrase. */
int key_slots_fill(struct key_slots *k, unsigned nr, struct bytes pass, uint32_t iterations,
		   struct err *e) MUST_CHECK;
/* Makes slot nr one that is not in use, and overwrites what it held. */
int key_slots_erase(struct key_slots *k, unsigned nr, struct err *e) MUST_CHECK;
