/* The refcounts in the file, and how they compare with what was counted. */
#include "ops/check_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "format/refcount_block.h"

/* Counts of clusters that the file does not reach: the last one that is not 0. */
static void behind_file(struct check *c, const struct walk_refcount_block *b)
{
	unsigned order = c->geom->refcount_order;
	uint64_t in_file = c->clusters - b->first, n = geom_cluster_size(c->geom);

	while (n > (in_file << order) / 8 && !b->bytes[n - 1])
		n--;
	uint64_t nr = (n * 8 + (UINT64_C(1) << order) - 1) >> order;

	while (nr > in_file && !refcount_block_get(b->bytes, order, nr - 1))
		nr--;
	if (nr > in_file)
		c->counted_end = (b->first + nr) << c->geom->cluster_bits;
}

static void short_file_note(struct check *c)
{
	struct finding f = { .kind = PROBLEM_FILE_TOO_SHORT,
			     .has_host = true,
			     .host = file_size(c->file),
			     .has_value = true,
			     .value = c->needed_end };

	if (c->needed_end)
		check_found(c, &f);
}

int check_on_refcount_block(void *arg, const struct walk_refcount_block *b, struct err *e)
{
	struct check *c = arg;
	unsigned bits = geom_refcount_block_bits(c->geom);
	uint64_t nr = MIN(c->clusters - b->first, UINT64_C(1) << bits);

	refcount_block_get_saturated(b->bytes, c->geom->refcount_order, 0, nr,
				     c->stored.low + b->first);
	counts_touch(&c->stored, b->first, nr);
	c->blocks[b->first >> bits] = b->host;
	if (nr < UINT64_C(1) << bits)
		behind_file(c, b);
	return 0;
}

/* It could be read a moment ago; if not now, the count is large, and no more is known. */
static uint64_t stored_large(struct check *c, uint64_t cluster)
{
	unsigned bits = geom_refcount_block_bits(c->geom);
	uint64_t size = geom_cluster_size(c->geom), host = c->blocks[cluster >> bits];
	struct err ignored = ERR_INIT;

	if (!c->block)
		c->block = malloc(size);
	if (c->block && c->block_host != host &&
	    host != BLOCK_UNKNOWN &&
	    file_read_padded(c->file, host, c->block, size, NULL, &ignored) == 0)
		c->block_host = host;
	if (!c->block || c->block_host != host) {
		c->result->unread |= host != BLOCK_UNKNOWN;
		return COUNTS_BIG;
	}
	return refcount_block_get(c->block, c->geom->refcount_order,
				  cluster & ((UINT64_C(1) << bits) - 1));
}

/* Asked for every cluster of a file that has lost its counts. */
uint64_t check_stored(struct check *c, uint64_t cluster)
{
	uint8_t stored = c->stored.low[cluster];

	return stored != COUNTS_BIG ? stored : stored_large(c, cluster);
}

/* *f: what all findings of this kind say, filled in for this one. */
static void cluster_compare(struct check *c, uint64_t cluster, struct finding *f)
{
	uint64_t stored = check_stored(c, cluster),
		 expected = counts_get(&c->expected, cluster);

	f->host = cluster << c->geom->cluster_bits;
	f->cluster = cluster;
	f->refcount = stored;
	f->references = expected;
	if (stored == expected || (stored > expected && expected == COUNTS_MAX) ||
	    check_count_unknown(c, cluster))
		return;
	if (stored > expected)
		f->kind = PROBLEM_LEAKED_CLUSTER;
	else if (check_is_crossed(c, cluster))
		return; /* said already, and with the reason */
	else if (expected > geom_refcount_max(c->geom))
		f->kind = PROBLEM_REFCOUNT_OVERFLOW;
	else
		f->kind = stored ? PROBLEM_REFCOUNT_TOO_LOW : PROBLEM_REFCOUNT_ZERO;
	if (!expected)
		c->result->reclaimable += geom_cluster_size(c->geom);
	check_found(c, f);
}

static void page_compare(struct check *c, uint64_t first, uint64_t nr)
{
	const uint8_t *expected = c->expected.low + first, *stored = c->stored.low + first;

	if (memcmp(expected, stored, nr) == 0 && !memchr(stored, COUNTS_BIG, nr))
		return;
	struct finding f = { .has_host = true, .has_counts = true };

	for (uint64_t i = 0; i < nr; i++)
		if (expected[i] != stored[i] || stored[i] == COUNTS_BIG)
			cluster_compare(c, first + i, &f);
}

/* End of the last cluster of the page with a count or a reference, 0 if there is none. */
static uint64_t page_end(const struct check *c, uint64_t first, uint64_t nr)
{
	while (nr && !c->expected.low[first + nr - 1] && !c->stored.low[first + nr - 1])
		nr--;
	return nr ? (first + nr) << c->geom->cluster_bits : 0;
}

int check_compare(struct check *c, struct err *e)
{
	uint64_t pages = counts_pages(&c->expected);

	for (uint64_t page = 0; page < pages; page++) {
		uint64_t first = page << COUNTS_PAGE_BITS,
			 nr = MIN(COUNTS_PAGE, c->clusters - first);

		if (!c->expected.touched[page] && !c->stored.touched[page])
			continue;
		if (watch_stopped(c->options->watch, e) < 0)
			return -1;
		page_compare(c, first, nr);
	}
	short_file_note(c);
	for (uint64_t page = pages; page-- && !c->result->image_end_offset;)
		if (c->expected.touched[page] || c->stored.touched[page])
			c->result->image_end_offset = page_end(
			    c, page << COUNTS_PAGE_BITS,
			    MIN(COUNTS_PAGE, c->clusters - (page << COUNTS_PAGE_BITS)));
	return 0;
}
