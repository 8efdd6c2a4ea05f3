#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/partitions.h"

/* What the findings of a check mean for the bytes of the disk and of its snapshots: which guest
 * ranges are damaged, and which may become so by the next write. */

enum impact_how {
	IMPACT_AT_RISK, /* as they should be, but a write or a repair may harm them */
	IMPACT_DAMAGED, /* can't be read, or what is read may be something else */
};
#define IMPACT_HOWS 2

struct impact_range {
	uint64_t guest, len; /* bytes */
	uint32_t owner;	     /* 0: the active disk, else 1 + the snapshot's number */
	uint8_t how;	     /* enum impact_how */
};

/* Whose bytes: the disk as it is, or a snapshot. Its ranges stand together, in rising order; a
 * byte is in one of them. */
struct impact_owner {
	bool is_snapshot;
	uint32_t idx;	     /* of the snapshot in its table */
	char id[128], name[256]; /* of the snapshot: see struct walk_snapshot */
	uint64_t disk_size;  /* bytes; what ranges are cut to */
	bool vm_state;	     /* something behind the end of the disk is concerned, too */
	uint64_t bytes[IMPACT_HOWS];
	size_t first, nr;    /* ranges */
	struct partitions partitions; /* see impact_find_partitions() */
};

/* Zero-initialise; impact_fini() accepts that state. */
struct impact {
	struct impact_owner *owners; /* those with ranges only */
	size_t owner_nr;
	struct impact_range *ranges;
	size_t range_nr;
	/* A structure that the image needs as a whole is concerned: everything is. */
	bool whole, whole_damaged;
	bool snapshots_lost; /* snapshots that can't be listed are damaged, too */
	bool more;	     /* there are ranges that this list has no room for */
};

void impact_fini(struct impact *x);
static inline bool impact_is_empty(const struct impact *x)
{
	return !x->owner_nr && !x->whole && !x->snapshots_lost;
}

struct spec;
/* Looks for partitions of the owners' disks, through the whole backing chain. What can't be opened
 * or read has none. */
void impact_find_partitions(struct impact *x, const struct spec *s);

/* Cuts a range where a partition begins or ends. */
struct impact_piece {
	uint64_t guest, len;
	unsigned partition;  /* its number as systems count; 0: none */
	uint64_t in_partition; /* offset in it */
};
/* The first piece of the range from `guest` on. */
struct impact_piece impact_piece(const struct impact_owner *o, const struct impact_range *r,
				 uint64_t guest);
