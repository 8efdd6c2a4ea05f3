#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* L2 tables that nothing leads to any more: found among leaked clusters, and among tables that only
 * snapshots still have though they are counted once more. Each is offered for the L1 entry of the
 * active disk that probably led to it. */

enum orphan_reason {
	ORPHAN_NO_PLACE,      /* nothing tells where it belongs */
	ORPHAN_DATA_FILE,     /* offsets in a data file are guest offsets */
	ORPHAN_SNAPSHOT_HAS,  /* a snapshot has this very table there */
	ORPHAN_SNAPSHOT_LIKE, /* a snapshot has a table there that maps the same clusters */
	ORPHAN_BROKEN_ENTRY,  /* the entry there is damaged, and differs little from a pointer here */
	ORPHAN_ONLY_PLACE,    /* between its neighbours in the file one entry is broken or empty */
	ORPHAN_IN_ORDER,      /* there are as many of these as tables, taken in the order of the file */
	ORPHAN_MANY_PLACES,   /* there are more */
	ORPHAN_REASONS
};
extern const char *const orphan_reason_text[ORPHAN_REASONS];

struct orphan_sample {
	uint32_t idx;
	uint64_t raw; /* without COPIED */
};
#define ORPHAN_SAMPLES 16

struct orphan {
	uint64_t host;	      /* byte offset of the table */
	uint32_t used;	      /* entries with a cluster */
	uint32_t agree;	      /* of those, with clusters that are counted once more than known */
	uint32_t last_idx;    /* the last entry with anything */
	uint8_t table_score;  /* 0..100: how sure it is that this is a lost table */
	uint8_t place_score;  /* the same for l1_idx */
	uint8_t confidence;   /* of both */
	enum orphan_reason reason;
	uint32_t l1_idx;      /* unless ORPHAN_NO_PLACE */
	uint64_t guest, guest_len; /* that this entry maps */
	bool slot_broken;     /* what stands there leads elsewhere: any other repair changes it */
	struct orphan_sample samples[ORPHAN_SAMPLES];
	unsigned sample_nr;
};

/* A table without any entry, though an L1 entry of the active disk leads to it: it may have been
 * zeroed. With leaked clusters that nobody else explains it gets a proposal. */
struct zeroed_table {
	uint64_t host;
	uint32_t l1_idx;
	uint64_t clusters; /* of the proposal: these many leaked clusters, in the order of the file; 0:
			    * there is none */
};

/* Zero-initialise; orphans_fini() accepts that state. */
struct orphans {
	struct orphan *list; /* by host offset */
	size_t nr, room;
	struct zeroed_table *zeroed; /* by L1 index */
	size_t zeroed_nr, zeroed_room;
	bool zeroed_in_snapshot; /* a snapshot leads to one that the disk does not lead to */
	bool more;	     /* there are others that this list has no room for */
	bool unread;	     /* there may be others: something that could be one can't be read */

	/* Leaked clusters that may be lost data, and why: a repair leaves them alone. */
	uint64_t suspects;
	uint64_t uncounted; /* the same of clusters whose counts are lost: a repair counts them */
	uint64_t loose;	    /* leaked clusters that no table here explains */
	bool pointers_lost;    /* something could not be read: every leak is suspect */
	uint8_t *suspect;   /* bit per host cluster; NULL: none */
	uint8_t *loose_at;  /* bit per host cluster: which are loose; NULL without zeroed tables */
	uint64_t clusters;  /* bits */
};

/* What --reattach takes. */
#define ORPHAN_CONFIDENCE 80

void orphans_fini(struct orphans *o);
/* Whether a lost table may map the cluster, or be there. */
bool orphans_suspect(const struct orphans *o, uint64_t cluster);
/* The same as far as a table in the file says so, which the next check will find as well. */
bool orphans_explain(const struct orphans *o, uint64_t cluster);
/* The first loose cluster at or behind `from`; o->clusters if there is none. */
uint64_t orphans_next_loose(const struct orphans *o, uint64_t from);
