/* A header for what was found. */
#include "ops/rebuild_internal.h"

static uint64_t snapshot_size(const struct rebuild_snapshots *t, const struct geom *g,
			      const struct rebuild_l1 *l1)
{
	bool fits = t->disk_size && t->disk_size <= FILE_OFFSET_MAX &&
		    t->disk_size + geom_cluster_size(g) > l1->mapped_end &&
		    geom_l1_entries(g, t->disk_size) <= l1->room;

	return fits ? t->disk_size : 0;
}

static bool size_propose(const struct rebuild_options *o, struct rebuild *r, const struct geom *g,
			 const struct rebuild_l1 *l1, const struct rebuild_snapshots *t)
{
	uint64_t span = UINT64_C(1) << geom_l2_span_bits(g), size = snapshot_size(t, g, l1);
	bool told = o->has_size && o->size <= FILE_OFFSET_MAX &&
		    geom_l1_entries(g, o->size) <= l1->room &&
		    o->size + geom_cluster_size(g) > l1->mapped_end;

	r->mapped_end = l1->mapped_end;
	r->l1_used = l1->used;
	r->room_end = (uint64_t)l1->room * span;
	/* What does not fit stays in the race, so that a worse one does not win for its size. */
	r->misfit = o->has_size && !told;
	r->source[REBUILD_SIZE] = told ? REBUILD_TOLD : size ? REBUILD_SNAPSHOT : REBUILD_ASSUMED;
	r->header.size = told ? o->size : size ? size : MAX(l1->nr, 1) * span;
	r->header.l1_size = (uint32_t)MAX(l1->nr, geom_l1_entries(g, r->header.size));
	return r->header.size <= FILE_OFFSET_MAX;
}

static void fields_propose(const struct rebuild_scan *s, struct rebuild *r,
			   const struct rebuild_layout *l, const struct rebuild_l1 *l1,
			   const struct rebuild_snapshots *t)
{
	struct header *h = &r->header;
	bool narrow = l->geom.refcount_order != 4 || l->geom.subclusters;

	h->version = t->short_extra && !narrow ? 2 : 3;
	h->cluster_bits = l->geom.cluster_bits;
	h->refcount_order = l->geom.refcount_order;
	h->refcount_table_off = l->table_off;
	h->refcount_table_clusters = l->table_clusters;
	r->gap = l->gap << l->geom.cluster_bits;
	h->l1_table_off = l1->off;
	r->l1_is_new = l1->is_new || l1->is_snapshot;
	/* A snapshot's own table stays the snapshot's: the disk gets a copy, behind all else. */
	if (l1->is_snapshot) {
		h->l1_table_off = align_up(s->size, geom_cluster_size(&l->geom));
		r->l1_copied_from = l1->off;
		r->l1_copied_nr = l1->nr;
	}
	h->nb_snapshots = t->nr;
	h->snapshots_off = t->nr ? t->off : 0;
	h->incompatible_features = l->geom.subclusters ? INCOMPATIBLE_EXTENDED_L2 : 0;
	for (unsigned i = 0; i < REBUILD_FIELDS; i++)
		r->source[i] = REBUILD_FOUND;
	if (r->l1_is_new)
		r->source[REBUILD_L1] = l1->is_new ? REBUILD_ASSUMED : REBUILD_SNAPSHOT;
	r->source[REBUILD_VERSION] =
		narrow || t->short_extra ? REBUILD_FOUND : REBUILD_ASSUMED;
	r->source[REBUILD_NAMES] = r->source[REBUILD_ENCRYPTION] = REBUILD_ASSUMED;
	if (!l->table_clusters)
		r->source[REBUILD_REFCOUNTS] = REBUILD_ASSUMED;
}

bool rebuild_propose(const struct rebuild_scan *s, struct rebuild *r, const struct rebuild_options *o,
		     const struct rebuild_layout *l, const struct rebuild_l1 *l1,
		     const struct rebuild_snapshots *t)
{
	fields_propose(s, r, l, l1, t);
	return size_propose(o, r, &l->geom, l1, t);
}

bool rebuild_size_raise(struct rebuild *r, uint64_t lost)
{
	const struct geom g = header_geom(&r->header);
	unsigned bits = geom_l2_span_bits(&g);
	uint64_t entries = MIN(r->l1_used + lost, r->room_end >> bits);

	if (entries <= geom_l1_entries(&g, r->header.size) || entries << bits > FILE_OFFSET_MAX)
		return false;
	r->header.size = entries << bits;
	r->header.l1_size = (uint32_t)MAX(r->header.l1_size, entries);
	return true;
}
