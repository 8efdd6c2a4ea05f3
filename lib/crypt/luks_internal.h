#pragma once
#include "crypt/luks.h"

/* The hash that the header names; NULL: it is not supported. */
const struct nettle_hash *luks_hash(const struct luks_header *h, struct err *e);
/* Which slots a passphrase is tried on (bit 0: slot 0). What is passed over does not keep the others
 * from being tried: the passphrase may be in one of them. */
struct luks_plan {
	unsigned used, tried;
	struct err why; /* why the first of those in use that is not tried is not */
};
/* Of a header whose hash is supported. */
struct luks_plan luks_plan(const struct luks_header *h);
