#pragma once
#include <stdbool.h>
#include <stdint.h>

enum extent_kind {
	EXTENT_ABSENT, /* no layer says anything: reads as zeros */
	EXTENT_ZERO,   /* some layer says: zeros */
	EXTENT_DATA,
	EXTENT_PACKED, /* compressed clusters */
};

/* A run of guest bytes of one kind; what map, convert, compare, measure talk about. */
struct extent {
	uint64_t guest;	    /* first byte, as the guest counts */
	uint64_t len;	    /* bytes; never 0, never past the end of the disk */
	uint64_t host;	    /* first byte in the file of that layer, if has_host */
	uint16_t depth;	    /* 0 = the top layer, 1 = its backing file, ...; ABSENT: see below */
	enum extent_kind kind;
	bool has_host;	    /* DATA; ZERO with a host cluster kept behind it */
	bool encrypted;	    /* what is at `host` is not what a guest reads */
	bool reads_zero;    /* ZERO, ABSENT, and DATA that lies in a hole of its file */
	bool cut_off;	    /* DATA in an image whose file ends before it: can't be read */
};
/* The depth of an ABSENT extent is that of the layer that was asked last: the deepest one
 * that reaches so far. Beyond the end of a shorter backing file that is the layer above. */
