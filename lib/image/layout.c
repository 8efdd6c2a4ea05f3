#include "image/layout.h"

#include "base/align.h"

struct geom create_geom(const struct create_options *o)
{
	struct geom g = {
		.version = (uint8_t)o->version,
		.cluster_bits = (uint8_t)o->cluster_bits,
		.refcount_order = (uint8_t)o->refcount_order,
		.subclusters = o->extended_l2,
		.data_file = o->data_file != NULL,
		.disk_size = o->size,
	};

	geom_derive(&g);
	return g;
}

void refcounts_needed(const struct geom *g, uint64_t clusters, uint64_t *blocks,
		      uint64_t *table_clusters)
{
	uint64_t per_block = UINT64_C(1) << geom_refcount_block_bits(g);
	uint64_t b = 0, t = 0, known;

	/* Both count themselves: repeat until the numbers stand still. They only rise, and
	 * each round adds less than the one before. */
	do {
		known = b + t;
		b = div_up(clusters + t + b, per_block);
		t = div_up(b * 8, geom_cluster_size(g));
	} while (b + t != known);
	*blocks = b;
	*table_clusters = t;
}

int layout_plan(const struct geom *g, bool mapped, struct layout *l, struct err *e)
{
	unsigned bits = g->cluster_bits;
	uint64_t l1_clusters, at;

	*l = (struct layout){ .l1_nr = geom_l1_entries(g, g->disk_size),
			      .luks_clusters = l->luks_clusters };
	l1_clusters = geom_clusters(g, l->l1_nr * 8);
	if (mapped) {
		l->l2_nr = l->l1_nr;
		l->data_clusters = g->data_file ? 0 : geom_clusters(g, g->disk_size);
	}
	refcounts_needed(g, 1 + l1_clusters + l->luks_clusters + l->l2_nr + l->data_clusters,
			 &l->refcount_block_nr, &l->refcount_table_clusters);
	if (l->refcount_table_clusters << bits > REFCOUNT_TABLE_BYTES_MAX)
		return err_set(
			e, ERR_INVALID,
			"the refcount table would need %llu bytes and may have %llu; larger "
			"clusters or narrower refcounts help",
			(unsigned long long)(l->refcount_table_clusters << bits),
			(unsigned long long)REFCOUNT_TABLE_BYTES_MAX);
	at = 1;
	l->refcount_table_off = at << bits;
	at += l->refcount_table_clusters;
	l->refcount_block_off = at << bits;
	at += l->refcount_block_nr;
	l->l1_off = l->l1_nr ? at << bits : 0;
	at += l1_clusters;
	l->luks_off = l->luks_clusters ? at << bits : 0;
	at += l->luks_clusters;
	l->l2_off = at << bits;
	at += l->l2_nr;
	l->data_off = at << bits;
	l->end = at + l->data_clusters;
	if (l->end > HOST_OFFSET_MAX >> bits)
		return err_set(e, ERR_INVALID,
			       "the image file would be larger than 64 PiB");
	return 0;
}
