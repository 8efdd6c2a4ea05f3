/* The header: the bits that say that something may be wrong, and its list of extensions. */
#include "ops/repair_internal.h"

int repair_extensions(struct repair *r, struct err *e)
{
	struct header h = r->header;
	struct finding f = { .kind = PROBLEM_EXTENSION_END,
			     .has_place = true,
			     .place = h.header_length + h.extensions.n };

	if (!repair_has(r, PROBLEM_EXTENSION_END))
		return 0;
	repair_fixed(r, &f, NULL);
	return repair_header_replace(r, &h, e);
}

int repair_bits(struct repair *r, struct err *e)
{
	const uint64_t bits = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT;

	if (r->found.corruptions || r->found.check_errors ||
	    !(r->header.incompatible_features & bits))
		return 0;
	r->header.incompatible_features &= ~bits;
	return repair_header(r, HEADER_FEATURES, e);
}
