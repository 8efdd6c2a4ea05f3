/* The bits of the header that say that something may be wrong. */
#include "ops/repair_internal.h"

int repair_bits(struct repair *r, struct err *e)
{
	const uint64_t bits = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT;

	if (r->found.corruptions || r->found.check_errors ||
	    !(r->header.incompatible_features & bits))
		return 0;
	r->header.incompatible_features &= ~bits;
	return repair_header(r, HEADER_FEATURES, e);
}
