#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/image.h"
#include "ops/problem.h"

/* The consistency check: counts every reference to every host cluster, compares with the
 * refcounts in the file, and judges each entry by itself. Reads metadata only, and compressed
 * clusters if it is told to; changes nothing. */

struct impact;
struct orphans;

/* What led to clusters and may be gone. */
enum pointers_lost {
	LOST_SNAPSHOTS = 1, /* the snapshot table, or part of it */
	LOST_OTHERS = 2,
};

struct check_options {
	/* Called for each finding, in the order of the walk. May be NULL. */
	void (*found)(void *arg, const struct finding *f);
	void *arg;
	const struct watch *watch; /* may be NULL */
	bool deep;		   /* unpack compressed clusters, too */
	bool repairing;		   /* not the first pass: counts may not be told of new clusters */
	unsigned pointers_lost;	   /* of earlier passes: see struct check_result */
	struct impact *impact;	   /* what the findings touch, or NULL: see ops/impact.h */
	struct orphans *orphans;   /* what leaked clusters may be, or NULL: see ops/orphans.h */
	const uint64_t *replaced; /* host offsets of foreign L2 tables that a repair has replaced */
	size_t replaced_nr;
};

struct check_result {
	uint64_t corruptions, leaks, check_errors, notes;
	uint64_t kinds[PROBLEM_KINDS]; /* findings of each kind */

	/* of the active disk, in clusters (14.3) */
	uint64_t total_clusters, allocated_clusters, fragmented_clusters,
	    compressed_clusters;
	uint64_t
	    image_end_offset; /* end of the last cluster that is counted or referenced */
	uint64_t unpacked_clusters; /* with `deep`: places of compressed clusters */
	uint64_t reclaimable; /* bytes in clusters that are counted but not referenced */
	/* Something that led to clusters may be gone, so that they look leaked: leaks may be
	 * lowered only without this (ops/check_lost.c). Bits of enum pointers_lost. */
	unsigned pointers_lost;
	unsigned pointers_lost_now; /* the same without what earlier passes found */
	bool unread; /* metadata, or something that decides what metadata is, can't be read */
};

/* Opens for checking: damage that a reader must refuse is let through, encrypted images
 * need no secret. *img is NULL on success too when the file is not an image of a format
 * that can be checked. On failure the text begins "Could not open 'NAME': ". */
int check_open(const struct spec *s, const struct listener *l, struct image **img,
	       struct err *e) MUST_CHECK;

/* Fails only when the check can't go on at all (no memory, interrupted, more host clusters
 * than CHECK_CLUSTERS_MAX). What can't be read is counted in check_errors. */
int check_image(struct image *img, const struct check_options *o, struct check_result *r,
		struct err *e) MUST_CHECK;
