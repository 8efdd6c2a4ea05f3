#pragma once
#include "ops/check_internal.h"

/* A compressed cluster, and one entry that leads to it. */
struct place {
	uint64_t host, guest;
	uint32_t host_len;
	uint32_t owner; /* 0: the active disk, else 1 + the snapshot's number */
};

struct deep {
	struct check *check;
	struct place *places;
	size_t nr, room;
	uint64_t from, until; /* host offsets of the present pass */
	size_t next;          /* to be handed out */
};

/* Fills places[0 .. nr-1] with those from d->from on, sorted, as many as there is room for:
 * the next pass begins at d->until, which is UINT64_MAX when there are no more. The caller
 * frees d->places. */
int deep_gather(struct deep *d, struct err *e);
