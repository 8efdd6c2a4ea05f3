#include "format/l2_entry.h"

#include <assert.h>

/* 1-bits for the subclusters that are allocated, and that read as zeros (5.4). */
static uint32_t allocated_bits(const struct l2_entry *x)
{
	return (uint32_t)x->bitmap;
}

static uint32_t zero_bits(const struct l2_entry *x)
{
	return (uint32_t)(x->bitmap >> SUBCLUSTERS);
}

enum cluster_kind l2_entry_subcluster_kind(const struct geom *g, const struct l2_entry *x,
					   unsigned i)
{
	uint32_t allocated = allocated_bits(x), zero = zero_bits(x);

	if (l2_entry_unreadable(g, x))
		return CLUSTER_INVALID;
	if (x->packed)
		return CLUSTER_PACKED;
	if (x->has_host ? allocated & zero : allocated)
		return CLUSTER_INVALID;
	if (allocated >> i & 1)
		return CLUSTER_DATA;
	if (zero >> i & 1)
		return x->has_host ? CLUSTER_ZERO_HOST : CLUSTER_ZERO;
	return x->has_host ? CLUSTER_ABSENT_HOST : CLUSTER_ABSENT;
}

unsigned l2_entry_subcluster_run(const struct geom *g, const struct l2_entry *x, unsigned i,
				 enum cluster_kind *kind)
{
	uint32_t allocated = allocated_bits(x), zero = zero_bits(x), differs;

	*kind = l2_entry_subcluster_kind(g, x, i);
	if (*kind == CLUSTER_INVALID || *kind == CLUSTER_PACKED)
		return SUBCLUSTERS - i;
	/* Flip the halves so that a 1 marks a subcluster unlike number i. */
	differs =
	    (allocated >> i & 1 ? ~allocated : allocated) | (zero >> i & 1 ? ~zero : zero);
	differs >>= i;
	return differs ? (unsigned)__builtin_ctz(differs) : SUBCLUSTERS - i;
}

uint64_t l2_entry_packed(const struct geom *g, uint64_t host, uint32_t len)
{
	uint64_t extra;

	assert(len && len < geom_cluster_size(g) && host < geom_packed_offset_limit(g));
	extra = (host + len - 1) / SECTOR_SIZE - host / SECTOR_SIZE;
	return ENTRY_COMPRESSED | extra << (70u - g->cluster_bits) | host;
}

static unsigned packed_problems(const struct geom *g, const struct l2_entry *x)
{
	unsigned bad = 0;

	if (x->copied)
		bad |= L2_BAD_COPIED_PACKED;
	if (x->bitmap)
		bad |= L2_BAD_BITMAP_PACKED;
	if (g->data_file)
		bad |= L2_BAD_PACKED_DATA_FILE;
	if (l2_packed_offset_bad(g, x->host))
		bad |= L2_BAD_PACKED_OFFSET;
	return bad;
}

unsigned l2_entry_find_problems(const struct geom *g, const struct l2_entry *x)
{
	uint64_t reserved = L2_RESERVED_MASK | (g->subclusters ? ENTRY_ZERO : 0);
	unsigned bad = 0;

	if (x->packed)
		return packed_problems(g, x);
	if (x->raw & reserved)
		bad |= L2_BAD_RESERVED;
	if (x->zero && g->version < 3)
		bad |= L2_BAD_ZERO_V2;
	if (geom_in_cluster(g, x->host))
		bad |= L2_BAD_ALIGNMENT;
	if (x->copied && !x->has_host && !g->data_file)
		bad |= L2_BAD_COPIED_NO_HOST;
	if (allocated_bits(x) & zero_bits(x))
		bad |= L2_BAD_BOTH_BITS;
	if (allocated_bits(x) && !x->has_host)
		bad |= L2_BAD_BITS_NO_HOST;
	return bad;
}
