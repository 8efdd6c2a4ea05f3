#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "format/geom.h"
#include "format/l1_entry.h"

#define ENTRY_COMPRESSED      (UINT64_C(1) << 62)
#define ENTRY_ZERO	      UINT64_C(1)
#define L2_RESERVED_MASK      UINT64_C(0x3f000000000001fe)
#define L2_ALL_ALLOCATED      UINT64_C(0x00000000ffffffff)
#define L2_ALL_ZERO	      UINT64_C(0xffffffff00000000)

/* What a whole cluster is (5.3), or one subcluster of it (5.4). */
enum cluster_kind {
	CLUSTER_ABSENT,	     /* ask the backing file, or zeros; no host cluster */
	CLUSTER_ABSENT_HOST, /* subcluster only: the same, in a cluster that has a host cluster */
	CLUSTER_ZERO,	     /* zeros, no host cluster */
	CLUSTER_ZERO_HOST,   /* zeros, with a host cluster kept behind them */
	CLUSTER_DATA,
	CLUSTER_PACKED,	     /* compressed */
	CLUSTER_INVALID,     /* reading it is an error */
};

/* One L2 entry, both ways (5.2). Decoding never fails; what is wrong with an entry is for
 * l2_entry_problems() to say. */
struct l2_entry {
	uint64_t raw;	    /* word 0 as stored */
	uint64_t bitmap;    /* word 1, extended entries only; else 0 */
	bool packed, copied;
	bool zero;	    /* bit 0: never set with extended entries or for a packed one */
	uint64_t host;	    /* host offset: of the cluster (low nine bits masked, alignment NOT
			     * checked), or of the first compressed byte */
	uint32_t host_len;  /* packed only: bytes up to the end of the last sector (6.1) */
	bool has_host;	    /* a standard cluster with a place in the file */
};

/* The descriptor of a compressed cluster (6.1): its offset in the low bits, then the number
 * of sectors behind the first. */
static inline struct l2_entry l2_entry_decode_packed(const struct geom *g, uint64_t raw,
						     uint64_t bitmap)
{
	unsigned offset_bits = 70u - g->cluster_bits;
	uint64_t host = raw & ((UINT64_C(1) << offset_bits) - 1);
	uint64_t extra = raw >> offset_bits & ((UINT64_C(1) << (g->cluster_bits - 8)) - 1);

	return (struct l2_entry){
		.raw = raw,
		.bitmap = bitmap,
		.packed = true,
		.copied = raw & ENTRY_COPIED,
		.host = host,
		.host_len = (uint32_t)((extra + 1) * SECTOR_SIZE - (host & (SECTOR_SIZE - 1))),
	};
}

static inline struct l2_entry l2_entry_decode(const struct geom *g, uint64_t raw, uint64_t bitmap)
{
	uint64_t host = raw & ENTRY_OFFSET_MASK;
	bool copied = raw & ENTRY_COPIED, zero = (raw & ENTRY_ZERO) && !g->subclusters;

	if (raw & ENTRY_COMPRESSED)
		return l2_entry_decode_packed(g, raw, bitmap);
	return (struct l2_entry){
		.raw = raw,
		.bitmap = bitmap,
		.copied = copied,
		.zero = zero,
		.host = host,
		/* In a data file guest cluster 0 sits at host offset 0; COPIED alone says that
		 * it is there (10). */
		.has_host = host || (g->data_file && copied && !zero),
	};
}

/* Entry idx of an L2 table in memory (a whole cluster, as stored). */
static inline struct l2_entry l2_entry_at(const struct geom *g, const uint8_t *table,
					  uint32_t idx)
{
	const uint8_t *p = table + ((uint64_t)idx << g->l2_entry_bits);

	return l2_entry_decode(g, be64_get(p), g->subclusters ? be64_get(p + 8) : 0);
}

/* Stores word 0, and word 1 with extended entries. */
static inline void l2_entry_store(const struct geom *g, uint8_t *table, uint32_t idx,
				  uint64_t raw, uint64_t bitmap)
{
	uint8_t *p = table + ((uint64_t)idx << g->l2_entry_bits);

	be64_put(p, raw);
	if (g->subclusters)
		be64_put(p + 8, bitmap);
}

/* Where no compressed data can be: beyond the offsets of the format, or where the header is. */
static inline bool l2_packed_offset_bad(const struct geom *g, uint64_t host)
{
	return host > HOST_OFFSET_MAX || host < geom_cluster_size(g);
}

/* What no reader may follow, whatever else the entry says: a host cluster at an odd offset,
 * a compressed cluster beyond the offsets of the format, in the cluster of the header or in an image
 * with a data file, and
 * the ZERO flag in version 2. */
static inline bool l2_entry_unreadable(const struct geom *g, const struct l2_entry *x)
{
	if (x->packed)
		return g->data_file || l2_packed_offset_bad(g, x->host);
	return geom_in_cluster(g, x->host) || (x->zero && g->version < 3);
}

/* The kind of the whole cluster; without subclusters only. CLUSTER_INVALID for whatever
 * l2_entry_unreadable() refuses. */
static inline enum cluster_kind l2_entry_kind(const struct geom *g, const struct l2_entry *x)
{
	if (l2_entry_unreadable(g, x))
		return CLUSTER_INVALID;
	if (x->packed)
		return CLUSTER_PACKED;
	if (x->zero)
		return x->has_host ? CLUSTER_ZERO_HOST : CLUSTER_ZERO;
	return x->has_host ? CLUSTER_DATA : CLUSTER_ABSENT;
}

/* The kind of subcluster i (0..31); with subclusters only. CLUSTER_INVALID is the same for
 * every i, as validity is judged on the whole bitmap (5.4) and on what l2_entry_unreadable()
 * refuses. */
enum cluster_kind l2_entry_subcluster_kind(const struct geom *g, const struct l2_entry *x,
					   unsigned i);
/* Starting at subcluster i, how many in a row (1..32-i) have the kind of subcluster i, which
 * is stored in *kind. */
unsigned l2_entry_subcluster_run(const struct geom *g, const struct l2_entry *x, unsigned i,
				 enum cluster_kind *kind);

/* Word 0 of a compressed cluster of len bytes (1..cluster size - 1) at host offset `host`,
 * which lies below geom_packed_offset_limit(). */
uint64_t l2_entry_packed(const struct geom *g, uint64_t host, uint32_t len);

/* Everything that is wrong with an entry by itself, as a set of bits (14.2). Whether what it
 * names lies inside the file is for the caller. */
enum l2_problem {
	L2_BAD_RESERVED = 1 << 0,	 /* reserved bits set; bit 0 with extended entries too */
	L2_BAD_ZERO_V2 = 1 << 1,	 /* ZERO flag in a version 2 image */
	L2_BAD_ALIGNMENT = 1 << 2,	 /* host offset not a multiple of the cluster size */
	L2_BAD_COPIED_PACKED = 1 << 3,	 /* COPIED on a compressed entry */
	L2_BAD_COPIED_NO_HOST = 1 << 4,	 /* COPIED without a host cluster; with a data file
					  * offset 0 is a place, and this is never set */
	L2_BAD_BOTH_BITS = 1 << 5,	 /* a subcluster both allocated and zero */
	L2_BAD_BITS_NO_HOST = 1 << 6,	 /* allocated subclusters without a host cluster */
	L2_BAD_BITMAP_PACKED = 1 << 7,	 /* a bitmap on a compressed entry */
	L2_BAD_PACKED_DATA_FILE = 1 << 8, /* compressed with an external data file */
	L2_BAD_PACKED_OFFSET = 1 << 9,	 /* offset bits above 55 set (6.1), or it is the header's */
};
unsigned l2_entry_find_problems(const struct geom *g, const struct l2_entry *x);

static inline unsigned l2_entry_problems(const struct geom *g, const struct l2_entry *x)
{
	/* Nearly every entry is nothing, or a plain cluster: a check passes those inline. */
	const uint64_t unusual = L2_RESERVED_MASK | ENTRY_COMPRESSED | ENTRY_ZERO;

	if ((x->has_host || !x->raw) && !(x->raw & unusual) && !x->bitmap &&
	    !geom_in_cluster(g, x->host))
		return 0;
	return l2_entry_find_problems(g, x);
}
