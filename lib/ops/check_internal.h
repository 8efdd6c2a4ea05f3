#pragma once
#include "base/align.h"
#include "meta/counts.h"
#include "meta/l2_run.h"
#include "meta/walk.h"
#include "ops/check.h"

/* Host clusters first .. first+nr-1 that a metadata structure other than an L2 table uses.
 */
struct check_claim {
	uint64_t first, nr;
	enum walk_what what;
};

/* Memory: the counts, a byte each, and one bit per cluster for metadata. */
struct check {
	const struct geom *geom;
	const struct header *header;
	struct file *file, *data_file; /* data_file: NULL: none, or it does not matter */
	struct walk *walk;
	const struct check_options *options;
	struct check_result *result;
	struct l2_scan scan;

	uint64_t clusters;      /* host clusters of the file */
	struct counts expected; /* references found */
	struct counts stored; /* as in the refcount blocks; COUNTS_BIG means that or more */
	uint64_t *blocks;     /* host offset of the refcount block for each range; 0: none,
			       * BLOCK_UNKNOWN: there is one that can't be read */
	uint8_t *block;       /* the one last read, for counts of COUNTS_BIG and more */
	uint64_t block_host;

	uint8_t *metadata; /* bit per cluster: some metadata structure uses it */
	uint8_t *crossed;  /* bit per cluster: a finding about two uses was made; or NULL */
	uint8_t *overlapped; /* the same for two metadata structures; or NULL */
	uint8_t *refcounts; /* bit per cluster: the refcount table or a block uses it */
	uint64_t refcounts_crossed; /* findings about two uses, one of them refcounts */
	struct check_claim *claims;
	size_t claim_nr, claim_room;
	size_t claims_sorted; /* so many of them, from the first on */
	uint64_t taken_looks; /* what check_taken() has spent */
	uint64_t *foreign; /* host offsets of L2 tables that hold something else, rising */
	size_t foreign_nr, foreign_room;

	/* Bit per cluster: nothing refers to it, it holds something, and no block counts it. NULL unless
	 * counts are lost. */
	uint8_t *unreferenced;
	uint64_t unreferenced_nr; /* those among them that were not found to be leaked */

	uint64_t counted_end; /* of the last cluster behind the file that blocks count; 0: none */
	uint64_t needed_end;  /* of those among them that tables refer to; 0: none */
	uint64_t data_needed; /* bytes that the data file must have */

	struct watch quiet;	    /* of walks that show no progress */
	struct impact_marks *marks; /* what the findings touch, or NULL */
};

#define BLOCK_UNKNOWN UINT64_MAX

/* Whether nothing is known of the stored count of a cluster below c->clusters. */
static inline bool check_count_unknown(const struct check *c, uint64_t cluster)
{
	return c->blocks[cluster >> geom_refcount_block_bits(c->geom)] == BLOCK_UNKNOWN;
}

/* The pass over the image. geom, header, file, options and result are given; all that was learnt
 * stays until check_end(), which accepts the zeroed state. */
int check_run(struct check *c, struct err *e) MUST_CHECK;
void check_end(struct check *c);

/* Counts a finding and passes it on. */
void check_found(struct check *c, const struct finding *f);
void finding_set_owner(const struct check *c, struct finding *f, struct walk_owner owner);

static inline uint64_t check_cluster(const struct check *c, uint64_t host)
{
	return host >> c->geom->cluster_bits;
}

/* A table refers to a cluster behind the end of the file. If it was counted as well, it must have
 * been there once. */
static inline void check_needs(struct check *c, uint64_t host)
{
	if (host < c->counted_end && host >= c->needed_end)
		c->needed_end = align_down(host, geom_cluster_size(c->geom)) +
				geom_cluster_size(c->geom);
}

/* Consumers of the walk. */
int check_on_area(void *arg, const struct walk_area *a, struct err *e);
int check_on_fault(void *arg, const struct walk_fault *f, struct err *e);
bool check_taken(void *arg, uint64_t host, uint64_t len);
int check_on_refcount_block(void *arg, const struct walk_refcount_block *b, struct err *e);
int check_on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e);
int check_on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e);

/* --- check_claims.c --- */
static inline bool bit_at(const uint8_t *bits, uint64_t i)
{
	return bits[i >> 3] >> (i & 7) & 1;
}

static inline void bit_set(uint8_t *bits, uint64_t i)
{
	bits[i >> 3] |= (uint8_t)(1u << (i & 7));
}

/* Whether some metadata structure uses one of these clusters. */
bool check_any_metadata(const struct check *c, uint64_t first, uint64_t nr);
void check_claims_sort(struct check *c);
/* What uses a cluster whose metadata bit is set. */
enum walk_what check_claimed_by(struct check *c, uint64_t cluster);
/* Remembers that this cluster, which a metadata structure has already, is used for `what` too, and
 * that they don't go together. */
int check_cross(struct check *c, uint64_t cluster, enum walk_what what, struct err *e);
bool check_is_crossed(const struct check *c, uint64_t cluster);
bool check_is_overlapped(const struct check *c, uint64_t cluster);
const char *check_what_text(enum walk_what what);
bool check_is_refcounts(enum walk_what what);

/* --- check_foreign.c --- */
/* This many senseless entries, and three of four that are used, make a table foreign. */
#define FOREIGN_MIN 8
bool check_l2_is_foreign(const struct check *c, const uint8_t *table);
/* Whether the table is foreign; it is then reported, and nothing in it is to be believed. To be
 * asked only where something is wrong with an entry: the question costs a look at them all. */
int check_foreign_table(struct check *c, const struct walk_l2_table *t, bool *foreign,
			struct err *e) MUST_CHECK;
/* Whether the pass found the L2 table at this place foreign. */
bool check_found_foreign(const struct check *c, uint64_t host);

/* --- check_header.c --- */
/* Oddities of the header and its extensions. */
int check_header(struct check *c, struct err *e) MUST_CHECK;

/* --- check_again.c --- */
/* A walk over the L1 tables of the disk and of all snapshots that could be followed, for
 * walk_trees(); faults are not reported again. */
struct walk *check_walk_again(struct check *c, const struct walk_ops *ops, void *arg,
			      struct err *e);

/* --- check_data_file.c --- */
/* Clusters of the data file that an L2 table leads to. */
void check_data_file_needs(struct check *c, const uint8_t *table, const struct l2_run *r);
/* After all of them. */
void check_data_file_length(struct check *c);

/* --- check_deep.c --- */
/* Unpacks every compressed cluster. */
int check_deep(struct check *c, struct err *e) MUST_CHECK;
/* Whether `len` host bytes at `host` are a compressed cluster. What can't be tried may be one. */
bool check_unpacks(const struct check *c, uint64_t host, uint32_t len);

/* --- check_trust.c --- */
/* After the comparison, whose findings stay: counts in blocks that hold something else are taken
 * for unknown from here on. */
void check_distrust(struct check *c);

/* --- check_unreferenced.c --- */
int check_unreferenced(struct check *c, struct err *e) MUST_CHECK;

/* --- check_lost.c --- */
/* `what` was found to lie on a cluster that `other` has. */
void check_lost_overlap(struct check *c, enum walk_what what, enum walk_what other);
/* After all that was found: sets pointers_lost of the result. */
void check_lost(struct check *c);

/* --- check_compare.c --- */
/* The count in the file of a cluster below c->clusters, exact. */
uint64_t check_stored(struct check *c, uint64_t cluster);
/* Compares counts and references of the whole file. */
int check_compare(struct check *c, struct err *e);
