/* Where the counts are lost nothing tells a leak from a free cluster. What nothing refers
 * to though it holds something may be data all the same, of a table that was lost as well.
 */
#include "ops/check_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define PREFIX ((size_t)4096)

static bool has_no_count(const struct check *c, uint64_t cluster)
{
	uint64_t host = c->blocks[cluster >> geom_refcount_block_bits(c->geom)];

	return !host || host == BLOCK_UNKNOWN;
}

/* Whether clusters are in use that no block counts. */
static bool counts_lost(const struct check *c)
{
	for (uint64_t page = 0; page < counts_pages(&c->expected); page++) {
		uint64_t first = page << COUNTS_PAGE_BITS,
			 nr = MIN(COUNTS_PAGE, c->clusters - first);

		if (!c->expected.touched[page] ||
		    (!c->stored.touched[page] ? false
					      : memcmp(c->expected.low + first,
						       c->stored.low + first, nr) == 0))
			continue;
		for (uint64_t i = first; i < first + nr; i++)
			if (c->expected.low[i] && has_no_count(c, i))
				return true;
	}
	return false;
}

struct look {
	struct check *check;
	struct hole_map holes;
	uint8_t *buf; /* a cluster */
};

/* What can't be read may be anything. */
static bool is_zero(struct look *l, uint64_t host)
{
	struct check *c = l->check;
	size_t size = geom_cluster_size(c->geom), n = MIN(size, PREFIX);
	struct err ignored = ERR_INIT;

	if (file_read_padded(c->file, host, l->buf, n, NULL, &ignored) < 0 ||
	    !bytes_are_zero(l->buf, n))
		return false;
	return file_read_padded(c->file, host + n, l->buf + n, size - n, NULL, &ignored) ==
		       0 &&
	       bytes_are_zero(l->buf + n, size - n);
}

/* The cluster at hand; *nr: how many are passed over with it. */
static void cluster_look(struct look *l, uint64_t cluster, uint64_t *nr)
{
	struct check *c = l->check;
	uint64_t size = geom_cluster_size(c->geom), host = cluster << c->geom->cluster_bits;
	uint64_t left = file_size(c->file) - host, len;
	bool is_data;

	*nr = 1;
	hole_map_next(&l->holes, host, left, &is_data, &len);
	if (!is_data && len >= MIN(size, left))
		*nr = MAX(len / size, 1);
	else if (!is_zero(l, host)) {
		bit_set(c->unreferenced, cluster);
		c->unreferenced_nr += !c->stored.low[cluster];
	}
}

int check_unreferenced(struct check *c, struct err *e)
{
	struct look l = { .check = c, .holes = hole_map_over(c->file) };
	uint64_t nr;

	if (!counts_lost(c))
		return 0;
	c->unreferenced = calloc(c->clusters / 8 + 1, 1);
	l.buf = malloc(geom_cluster_size(c->geom));
	if (!c->unreferenced || !l.buf) {
		free(l.buf);
		return err_nomem(e);
	}
	for (uint64_t i = 1;
	     i < c->clusters && i << c->geom->cluster_bits < file_size(c->file); i += nr) {
		nr = 1;
		if (c->expected.low[i] || !has_no_count(c, i))
			continue;
		if (watch_stopped(c->options->watch, e) < 0)
			break;
		cluster_look(&l, i, &nr);
	}
	free(l.buf);
	return err_is(e) ? -1 : 0;
}
