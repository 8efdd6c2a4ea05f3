#pragma once
#include "ops/check.h"

/* A header that is lost or overwritten, made anew from what the rest of the file shows: tables are
 * known by their content, and each proposal is judged by a check of the image with it. */

enum rebuild_source {
	REBUILD_OLD,	  /* the old header says so, and it fits */
	REBUILD_FOUND,	  /* by content */
	REBUILD_SNAPSHOT, /* a snapshot says so */
	REBUILD_TOLD,	  /* by the user */
	REBUILD_ASSUMED,  /* nothing tells: the usual value, or the least that fits */
};

enum rebuild_field {
	REBUILD_VERSION,
	REBUILD_CLUSTER_SIZE,
	REBUILD_SIZE,
	REBUILD_REFCOUNTS, /* width and table */
	REBUILD_L1,
	REBUILD_SNAPSHOTS,
	REBUILD_FEATURES,
	REBUILD_ENCRYPTION,
	REBUILD_NAMES, /* backing file, data file, and other extensions */
	REBUILD_FIELDS
};

enum rebuild_trust {
	REBUILD_CERTAIN,  /* with this header the check finds nothing, and the size is known */
	REBUILD_LIKELY,	  /* it finds some lost space only, or another header does as well */
	REBUILD_DOUBTFUL, /* it finds errors, or more lost space than data: the damage goes further,
			   * or this is not the one */
};

struct rebuild_options {
	uint64_t size; /* of the disk, if has_size */
	bool has_size;
	bool apply;	  /* write it, if it is not there already */
	const char *undo; /* with apply: the undo file to be made, or NULL */
	unsigned write_flags; /* FILE_SYNC_WRITES and the like */
	const struct watch *watch; /* may be NULL */
};

struct rebuild {
	struct header header; /* points into bytes */
	uint8_t *bytes;	      /* the header cluster */
	size_t len;
	enum rebuild_source source[REBUILD_FIELDS];
	enum rebuild_trust trust;
	bool intact;  /* the header that is there is sound: this is it, and nothing is written */
	bool written;
	bool misfit;  /* the size that was told does not fit */
	uint64_t mapped_end; /* of the last guest cluster that is mapped: the disk is not shorter */
	/* The L1 table of a snapshot that the disk gets a copy of, at l1_table_off; 0: none */
	uint64_t l1_copied_from;
	uint32_t l1_copied_nr; /* entries */
	bool l1_is_new;	       /* it is a copy, or empty, and has to be written */
	uint32_t l1_used;      /* entries that lead to a table */
	uint64_t lost_clusters; /* that L2 tables map that nothing leads to; with an empty new table */
	uint64_t gap;	       /* bytes between the end of the counts and that of the file */
	uint64_t room_end;   /* the L1 table has room for a disk of this size */
	unsigned tried, rivals; /* headers that were checked; others that are as good as this one */
	char text_left[128]; /* of the first cluster, where the name of a backing file may be left;
			      * escaped */
	struct check_result check; /* of the image with this header */
};

/* ERR_NOTFOUND when nothing can be proposed. To be followed by rebuild_fini() in any case. */
int rebuild_header(const struct spec *s, const struct rebuild_options *o, const struct listener *l,
		   struct rebuild *r, struct err *e) MUST_CHECK;
void rebuild_fini(struct rebuild *r);
