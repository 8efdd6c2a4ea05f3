#pragma once
/* What the parts of repair_doubles() share. */
#include "ops/repair_internal.h"
#include "ops/repair_places.h"

struct doubles {
	struct repair *repair;
	struct places owners; /* host cluster -> place of the disk that keeps it, + 1 */
	struct places
		copies; /* of (host cluster or byte, place) -> host offset of the copy */
	uint64_t copies_max;
	bool tables;    /* this walk is about L2 tables, else about data */
	bool all;       /* no count is to be trusted */
	bool store;     /* copies are there: entries are switched */
	uint8_t *bytes; /* two clusters */
};

#define PACKED UINT64_MAX /* compressed data keep their clusters */

/* Whether more owners were found than the file counts, or is known to count. */
bool doubles_is_short(const struct doubles *d, uint64_t cluster);
/* Metadata that stays where it is; refcounts are built anew elsewhere. */
bool doubles_is_taken(const struct check *c, uint64_t cluster);
/* Place `place` of the disk asks for a cluster: whether it has to go elsewhere. */
int doubles_ask(struct doubles *d, uint64_t cluster, uint64_t place, bool *elsewhere,
		struct err *e) MUST_CHECK;
/* A copy of len bytes at `host`, for this place; none if there are too many. */
int doubles_copy(struct doubles *d, uint64_t host, uint64_t len, uint64_t place,
		 struct err *e) MUST_CHECK;
/* Tells that what f speaks of, with its host, place and guest range, is at `to` from now
 * on. */
void doubles_told(struct doubles *d, struct finding f, uint64_t to);
