#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/align.h"
#include "format/limits.h"

/* Everything that follows from the header by arithmetic alone. header_geom() is the only
 * maker for an image that exists and has checked every range: no user of a geom needs to
 * check again. With these ranges no expression below can overflow 64 bits for guest offsets
 * below 2^63. */
struct geom {
	uint8_t version;	/* 2 or 3 */
	uint8_t cluster_bits;	/* 9..21 */
	uint8_t l2_entry_bits;	/* log2 of the bytes of one L2 entry: 3, or 4 with subclusters */
	uint8_t l2_bits;	/* log2 of the entries in one L2 table */
	uint8_t refcount_order; /* 0..6: counts of 1 << refcount_order bits */
	bool subclusters;	/* extended L2 entries */
	bool data_file;		/* guest clusters live in an external data file */
	uint64_t disk_size;	/* bytes, a multiple of 512, below 2^63 */
};

static inline uint64_t geom_cluster_size(const struct geom *g)
{
	return UINT64_C(1) << g->cluster_bits;
}

/* guest offset -> offset inside its cluster; works for host offsets too */
static inline uint64_t geom_in_cluster(const struct geom *g, uint64_t offset)
{
	return offset & (geom_cluster_size(g) - 1);
}

/* bytes -> clusters, rounded up */
static inline uint64_t geom_clusters(const struct geom *g, uint64_t bytes)
{
	return (bytes >> g->cluster_bits) + (geom_in_cluster(g, bytes) != 0);
}

static inline uint64_t geom_l2_entries(const struct geom *g)
{
	return UINT64_C(1) << g->l2_bits;
}

/* log2 of the guest bytes that one L2 table maps */
static inline unsigned geom_l2_span_bits(const struct geom *g)
{
	return g->l2_bits + g->cluster_bits;
}

static inline uint64_t geom_l1_index(const struct geom *g, uint64_t guest)
{
	return guest >> geom_l2_span_bits(g);
}

static inline uint32_t geom_l2_index(const struct geom *g, uint64_t guest)
{
	return (uint32_t)((guest >> g->cluster_bits) & (geom_l2_entries(g) - 1));
}

/* L1 entries that a disk of `size` bytes needs */
static inline uint64_t geom_l1_entries(const struct geom *g, uint64_t size)
{
	unsigned bits = geom_l2_span_bits(g);

	return (size >> bits) + ((size & ((UINT64_C(1) << bits) - 1)) != 0);
}

/* log2 of the counts in one refcount block */
static inline unsigned geom_refcount_block_bits(const struct geom *g)
{
	return g->cluster_bits + 3 - g->refcount_order;
}

/* largest count that an entry can hold */
static inline uint64_t geom_refcount_max(const struct geom *g)
{
	return g->refcount_order == 6 ? UINT64_MAX
				      : (UINT64_C(1) << (1u << g->refcount_order)) - 1;
}

static inline uint64_t geom_subcluster_size(const struct geom *g)
{
	return geom_cluster_size(g) / SUBCLUSTERS;
}

static inline unsigned geom_subcluster_index(const struct geom *g, uint64_t guest)
{
	return (unsigned)(geom_in_cluster(g, guest) >> (g->cluster_bits - 5));
}

/* first byte behind the offsets that a compressed entry can name (1.3) */
static inline uint64_t geom_packed_offset_limit(const struct geom *g)
{
	unsigned bits = 70u - g->cluster_bits;

	return UINT64_C(1) << (bits < 56 ? bits : 56);
}

/* Fills the derived fields l2_entry_bits and l2_bits from cluster_bits and subclusters. */
static inline void geom_derive(struct geom *g)
{
	g->l2_entry_bits = g->subclusters ? 4 : 3;
	g->l2_bits = (uint8_t)(g->cluster_bits - g->l2_entry_bits);
}
