/* Cluster size and refcounts: a refcount table is known by a first block that counts the header, the
 * table and itself once. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "format/refcount_block.h"
#include "ops/rebuild_internal.h"

/* The table as far as the file needs it. */
static uint32_t table_clusters(const struct rebuild_scan *s, const struct geom *g)
{
	uint64_t blocks = div_up(geom_clusters(g, s->size),
				 UINT64_C(1) << geom_refcount_block_bits(g));

	return (uint32_t)MIN(geom_clusters(g, MAX(blocks, 1) * 8),
			     REFCOUNT_TABLE_BYTES_MAX >> g->cluster_bits);
}

static bool counted_once(const struct geom *g, const uint8_t *block, uint64_t cluster)
{
	return cluster >> geom_refcount_block_bits(g) ||
	       refcount_block_get(block, g->refcount_order, cluster) == 1;
}

/* Whether the first block, read up to the largest cluster size, is one of this geometry. */
static bool block_fits(const struct geom *g, const uint8_t *block, const struct rebuild_pointer *p)
{
	return counted_once(g, block, 0) && counted_once(g, block, p->off >> g->cluster_bits) &&
	       counted_once(g, block, p->first >> g->cluster_bits);
}

/* How far the counts reach, in clusters: by the last block of the table. */
static uint64_t counts_end(struct rebuild_scan *s, struct rebuild_layout *l)
{
	unsigned bits = geom_refcount_block_bits(&l->geom);
	uint64_t nr = (uint64_t)l->table_clusters << (l->geom.cluster_bits - 3);
	struct err ignored = ERR_INIT;

	while (nr && !be64_get(l->table + (nr - 1) * 8))
		nr--;
	if (!nr)
		return 0;
	uint64_t off = be64_get(l->table + (nr - 1) * 8);

	if (geom_in_cluster(&l->geom, off) || off >= s->size ||
	    file_read_padded(s->file, off, l->block, geom_cluster_size(&l->geom), NULL, &ignored) < 0)
		return 0;
	l->block_off = off;
	for (uint64_t i = UINT64_C(1) << bits; i--;)
		if (refcount_block_get(l->block, l->geom.refcount_order, i))
			return ((nr - 1) << bits) + i + 1;
	return 0;
}

int rebuild_layout_load(struct rebuild_scan *s, struct rebuild_layout *l, struct err *e)
{
	uint64_t bytes = (uint64_t)l->table_clusters << l->geom.cluster_bits;
	uint64_t clusters = geom_clusters(&l->geom, s->size), end;

	if (!l->table_clusters)
		return 0;
	l->table = malloc(bytes);
	l->block = malloc(geom_cluster_size(&l->geom));
	l->block_off = 0;
	if (!l->table || !l->block)
		return err_nomem(e);
	if (file_read_padded(s->file, l->table_off, l->table, bytes, NULL, e) < 0)
		return -1;
	end = counts_end(s, l);
	l->gap = end > clusters ? end - clusters : clusters - end;
	return 0;
}

void rebuild_layout_fini(struct rebuild_layout *l)
{
	free(l->table);
	free(l->block);
	l->table = l->block = NULL;
}

uint64_t rebuild_count(struct rebuild_scan *s, struct rebuild_layout *l, uint64_t host)
{
	unsigned bits = geom_refcount_block_bits(&l->geom);
	uint64_t cluster = host >> l->geom.cluster_bits, i = cluster >> bits;
	struct err ignored = ERR_INIT;

	if (!l->table)
		return COUNT_UNKNOWN;
	if (i >= (uint64_t)l->table_clusters << (l->geom.cluster_bits - 3))
		return 0;
	uint64_t off = refcount_table_entry_decode(be64_get(l->table + i * 8)).block_off;

	if (!off)
		return 0;
	if (geom_in_cluster(&l->geom, off) || off >= s->size)
		return COUNT_UNKNOWN;
	if (off != l->block_off) {
		l->block_off = 0;
		if (file_read_padded(s->file, off, l->block, geom_cluster_size(&l->geom), NULL,
				     &ignored) < 0)
			return COUNT_UNKNOWN;
		l->block_off = off;
	}
	return refcount_block_get(l->block, l->geom.refcount_order,
				  cluster & ((UINT64_C(1) << bits) - 1));
}

/* Keeps the list in order: the counts end where the file ends, large clusters before small ones. */
static void layout_insert(struct rebuild_layout *list, size_t *nr, const struct rebuild_layout *l)
{
	size_t i = *nr < LAYOUTS_MAX ? (*nr)++ : LAYOUTS_MAX - 1;

	if (i == LAYOUTS_MAX - 1 && list[i].geom.cluster_bits && list[i].gap <= l->gap)
		return;
	while (i && (list[i - 1].gap > l->gap ||
		     (list[i - 1].gap == l->gap &&
		      list[i - 1].geom.cluster_bits < l->geom.cluster_bits))) {
		list[i] = list[i - 1];
		i--;
	}
	list[i] = *l;
}

static int pointer_try(struct rebuild_scan *s, const struct rebuild_pointer *p, uint8_t *block,
		       struct rebuild_layout *list, size_t *nr, struct err *e)
{
	unsigned most = MIN(CLUSTER_BITS_MAX, MIN(__builtin_ctzll(p->off | CLUSTER_SIZE_MAX),
						  __builtin_ctzll(p->first | CLUSTER_SIZE_MAX)));

	/* The count of the header is the first: few sectors say 1 there in any width. */
	if (file_read_padded(s->file, p->first, block, SECTOR_SIZE, NULL, e) < 0)
		return -1;
	if (!bytes_are_zero(block, 8) &&
	    file_read_padded(s->file, p->first, block, UINT64_C(1) << most, NULL, e) < 0)
		return -1;
	for (unsigned order = 0; order <= REFCOUNT_ORDER_MAX; order++) {
		if (refcount_block_get(block, order, 0) != 1)
			continue;
		for (unsigned bits = most; bits >= CLUSTER_BITS_MIN; bits--) {
			struct rebuild_layout l = { .geom = { .version = 3,
							      .cluster_bits = (uint8_t)bits,
							      .refcount_order = (uint8_t)order },
						    .table_off = p->off };

			geom_derive(&l.geom);
			if (!block_fits(&l.geom, block, p))
				continue;
			l.table_clusters = table_clusters(s, &l.geom);
			int ret = rebuild_layout_load(s, &l, e);

			rebuild_layout_fini(&l);
			if (ret < 0)
				return -1;
			layout_insert(list, nr, &l);
		}
	}
	return 0;
}

void rebuild_layouts_guess(const struct rebuild_scan *s, struct rebuild_layout *list, size_t *nr)
{
	*nr = 0;
	for (unsigned bits = CLUSTER_BITS_MAX; bits >= CLUSTER_BITS_MIN; bits--) {
		struct rebuild_layout l = { .geom = { .version = 3,
						      .cluster_bits = (uint8_t)bits,
						      .refcount_order = 4 } };

		geom_derive(&l.geom);
		if (geom_clusters(&l.geom, s->size) >> geom_refcount_block_bits(&l.geom) <
		    REFCOUNT_TABLE_BYTES_MAX / 8)
			list[(*nr)++] = l;
	}
}

int rebuild_layouts(struct rebuild_scan *s, struct rebuild_layout *list, size_t *nr, struct err *e)
{
	AUTO_FREE uint8_t *block = malloc(CLUSTER_SIZE_MAX);

	*nr = 0;
	memset(list, 0, LAYOUTS_MAX * sizeof *list);
	if (!block)
		return err_nomem(e);
	for (size_t i = 0; i < s->refcount_nr; i++)
		if (s->refcounts[i].off &&
		    (watch_stopped(s->watch, e) < 0 ||
		     pointer_try(s, &s->refcounts[i], block, list, nr, e) < 0))
			return -1;
	if (!*nr)
		rebuild_layouts_guess(s, list, nr);
	return 0;
}
