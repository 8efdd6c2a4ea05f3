#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "image/writer.h"

/* Passphrases of a LUKS image: one more, or some less (7.7). */
struct key_change {
	bool activate;		/* else what is in a slot goes */
	struct bytes unlock;	/* a passphrase that opens the image; p NULL: none was given */
	struct bytes new_secret; /* activate: the new one; p NULL: none */
	struct bytes old_secret; /* else: the one to go, from all slots that it opens; p NULL: none */
	bool has_slot;
	uint64_t slot;		/* if has_slot: that one, whatever the number */
	uint64_t iter_ms;	/* activate: time that trying it is to take; 0: the default */
	bool force;		/* the last one may go, and a slot in use may be overwritten */
};

/* Whether what is asked for makes sense, before anything is opened. */
int key_change_check(const struct key_change *c, struct err *e) MUST_CHECK;
/* Whether this image can have such a change at all. */
int amend_keys_image_check(struct image *img, const struct key_change *c,
			   struct err *e) MUST_CHECK;
/* Changes the key slots of such an image. A crash at any point leaves at least one slot with a working
 * key, unless it is the last one that goes. On failure nothing was changed, but for what the system
 * refused. */
int amend_keys(struct image_writer *w, const struct key_change *c, const struct watch *watch,
	       struct err *e) MUST_CHECK;
/* Whether amend_keys() would be refused. */
int amend_keys_check(struct image_writer *w, const struct key_change *c,
		     const struct watch *watch, struct err *e) MUST_CHECK;
