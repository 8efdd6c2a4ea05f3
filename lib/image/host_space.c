#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/vec.h"
#include "format/refcount_block.h"
#include "image/builder_internal.h"

int host_space_init(struct host_space *s, struct file *f, const struct geom *g,
		    struct err *e)
{
	s->file = f;
	s->geom = g;
	s->block = calloc(1, geom_cluster_size(g));
	if (!s->block)
		return err_nomem(e);
	return gather_init(&s->lane, f, e);
}

void host_space_fini(struct host_space *s)
{
	gather_fini(&s->lane);
	free(s->block);
	free(s->table);
}

static uint64_t block_counts(const struct host_space *s)
{
	return UINT64_C(1) << geom_refcount_block_bits(s->geom);
}

/* Counts nr clusters from `first` on once; all lie in the range under construction. */
static void count_ones(struct host_space *s, uint64_t first, uint64_t nr)
{
	refcount_block_fill(s->block, s->geom->refcount_order,
			    first & (block_counts(s) - 1), nr, 1);
}

static int table_append(struct host_space *s, uint64_t block_off, struct err *e)
{
	if ((s->block_idx + 1) * 8 > REFCOUNT_TABLE_BYTES_MAX)
		return err_set(
			e, ERR_INVALID,
			"the refcount table would exceed %llu bytes; larger clusters or "
			"narrower refcounts help",
			(unsigned long long)REFCOUNT_TABLE_BYTES_MAX);
	if (!vec_grow(&s->table, s->block_idx, &s->table_room))
		return err_nomem(e);
	s->table[s->block_idx++] = block_off;
	return 0;
}

/* The cursor has left the range of the block: all counts in it are final. The block goes to
 * the first cluster of the next range, which counts it. The lane ends here too, since a
 * compressed cluster more would still change a count behind the cursor. */
static int block_close(struct host_space *s, struct err *e)
{
	uint64_t place = s->cursor++;

	s->lane_end = 0;
	if (file_write_at(s->file, place << s->geom->cluster_bits, s->block,
			  geom_cluster_size(s->geom), e) < 0 ||
	    table_append(s, place << s->geom->cluster_bits, e) < 0)
		return -1;
	memset(s->block, 0, geom_cluster_size(s->geom));
	count_ones(s, place, 1);
	return 0;
}

int host_space_take(struct host_space *s, uint64_t want, uint64_t *first, uint64_t *nr,
		    struct err *e)
{
	uint64_t left;

	while (s->cursor >= (s->block_idx + 1) * block_counts(s))
		if (block_close(s, e) < 0)
			return -1;
	left = (s->block_idx + 1) * block_counts(s) - s->cursor;
	*first = s->cursor;
	*nr = MIN(want, left);
	if (s->cursor + *nr > HOST_OFFSET_MAX >> s->geom->cluster_bits)
		return err_set(e, ERR_INVALID,
			       "the image file would be larger than 64 PiB");
	count_ones(s, *first, *nr);
	s->cursor += *nr;
	return 0;
}

/* Whether one more compressed cluster may begin in the cluster that holds lane_end. */
static bool lane_may_share(const struct host_space *s)
{
	uint64_t cluster = s->lane_end >> s->geom->cluster_bits;
	uint64_t count = refcount_block_get(s->block, s->geom->refcount_order,
					    cluster & (block_counts(s) - 1));

	return count < geom_refcount_max(s->geom);
}

static void lane_count(struct host_space *s)
{
	uint64_t idx = (s->lane_end >> s->geom->cluster_bits) & (block_counts(s) - 1);
	unsigned order = s->geom->refcount_order;

	refcount_block_set(s->block, order, idx,
			   refcount_block_get(s->block, order, idx) + 1);
}

int host_space_pack(struct host_space *s, const void *p, uint32_t n, uint64_t *host,
		    struct err *e)
{
	uint64_t in_cluster = geom_in_cluster(s->geom, s->lane_end), fresh, nr;
	uint64_t room = in_cluster ? geom_cluster_size(s->geom) - in_cluster : 0;
	bool shares = s->lane_end && room && lane_may_share(s);

	if (!shares || n > room) {
		if (host_space_take(s, 1, &fresh, &nr, e) < 0)
			return -1;
		/* What does not fit goes on in the next cluster if that is the one behind.
		 * Taking it may have closed the lane. */
		if (!shares || !s->lane_end ||
		    fresh != (s->lane_end >> s->geom->cluster_bits) + 1) {
			s->lane_end = fresh << s->geom->cluster_bits;
			shares = false;
		}
	}
	if (shares)
		lane_count(s);
	*host = s->lane_end;
	if (*host + n > geom_packed_offset_limit(s->geom))
		return err_set(
			e, ERR_INVALID,
			"compressed data can't be stored behind %#llx with this cluster size",
			(unsigned long long)geom_packed_offset_limit(s->geom));
	s->lane_end += n;
	return gather_put(&s->lane, *host, p, n, e);
}

/* How many blocks are still to be written, and how long the table gets, when `tail`
 * clusters and all of these are added behind the cursor: they count themselves, so it is a
 * fixed point. */
static void finish_plan(const struct host_space *s, uint64_t tail, uint64_t *blocks,
			uint64_t *table_clusters)
{
	uint64_t known;

	*blocks = *table_clusters = 0;
	do {
		known = *blocks + *table_clusters;
		*blocks = div_up(s->cursor + tail + known, block_counts(s)) - s->block_idx;
		*table_clusters =
			div_up((s->block_idx + *blocks) * 8, geom_cluster_size(s->geom));
	} while (*blocks + *table_clusters != known);
}

/* Writes the blocks of the ranges that are left; everything from the cursor to `end`
 * counts. */
static int blocks_finish(struct host_space *s, uint64_t blocks, uint64_t end, struct err *e)
{
	uint64_t first = s->cursor, size = geom_cluster_size(s->geom);

	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t range = s->block_idx * block_counts(s);
		uint64_t from = MAX(first, range), to = MIN(end, range + block_counts(s));
		uint64_t place = (first + i) << s->geom->cluster_bits;

		if (i)
			memset(s->block, 0, size);
		if (to > from)
			count_ones(s, from, to - from);
		if (file_write_at(s->file, place, s->block, size, e) < 0 ||
		    table_append(s, place, e) < 0)
			return -1;
	}
	return 0;
}

int host_space_take_all(struct host_space *s, uint64_t nr, uint64_t *first, struct err *e)
{
	uint64_t counts = block_counts(s), blocks = 0, known, end;

	/* Blocks of the ranges that end on the way go in front of it, which may end one more. */
	do {
		known = blocks;
		blocks = (s->cursor + nr + known) / counts - s->block_idx;
	} while (blocks != known);
	*first = s->cursor + blocks;
	end = *first + nr;
	if (blocks_finish(s, blocks, end, e) < 0)
		return -1;
	if (blocks)
		memset(s->block, 0, geom_cluster_size(s->geom));
	known = MAX(s->cursor, s->block_idx * counts);
	if (end > known)
		count_ones(s, known, end - known);
	s->cursor = end;
	return 0;
}

int host_space_finish(struct host_space *s, uint64_t tail, struct host_tail *t,
		      struct err *e)
{
	unsigned bits = s->geom->cluster_bits;
	uint64_t blocks, end;

	if (gather_flush(&s->lane, e) < 0)
		return -1;
	finish_plan(s, tail, &blocks, &t->table_clusters);
	end = s->cursor + blocks + tail + t->table_clusters;
	t->table_off = (s->cursor + blocks) << bits;
	t->tail_off = t->table_off + (t->table_clusters << bits);
	if (blocks_finish(s, blocks, end, e) < 0)
		return -1;
	s->cursor = end;

	uint8_t *table = calloc(t->table_clusters, geom_cluster_size(s->geom));

	if (!table)
		return err_nomem(e);
	for (uint64_t i = 0; i < s->block_idx; i++)
		be64_put(table + 8 * i, s->table[i]);
	int ret = file_write_at(s->file, t->table_off, table, t->table_clusters << bits, e);

	free(table);
	return ret;
}
