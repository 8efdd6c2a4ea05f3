/* Whole L2 tables that are given up. */
#include "base/align.h"
#include "image/writer_internal.h"

/* Every cluster that a slice of an L2 table maps loses the reference that the table gave it. */
static int slice_release(struct image_writer *w, const uint8_t *bytes, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint32_t nr = (uint32_t)((UINT64_C(1) << table_cache_slice_bits(w->img->tables)) >>
				 g->l2_entry_bits);

	for (uint32_t i = 0; i < nr; i++) {
		struct l2_entry x = l2_entry_at(g, bytes, i);

		if (l2_entry_unreadable(g, &x))
			return err_set(e, ERR_CORRUPT, "it has an invalid entry (%#llx)",
				       (unsigned long long)x.raw);
		if (writer_release(w, &x, e) < 0)
			return -1;
	}
	return 0;
}

int writer_l1_clear(struct image_writer *w, uint32_t idx, struct err *e)
{
	uint64_t guest = (uint64_t)idx << geom_l2_span_bits(writer_geom(w)), l2_off;
	uint64_t size = geom_cluster_size(writer_geom(w));
	uint64_t slice = UINT64_C(1) << table_cache_slice_bits(w->img->tables);

	if (map_l2_find(&w->disk->map, guest, &l2_off, e) < 0)
		return -1;
	if (!l2_off)
		return 0;
	w->l1_idx = UINT64_MAX;
	for (uint64_t at = 0; at < size; at += slice) {
		const struct table_slice *s;

		if (table_cache_get(w->img->tables, l2_off + at, &s, e) < 0)
			return err_ctx(e, "L2 table at %#llx", (unsigned long long)l2_off);
		int ret = slice_release(w, s->bytes, e);

		table_cache_put(w->img->tables, s);
		if (ret < 0)
			return err_ctx(e, "L2 table at %#llx", (unsigned long long)l2_off);
	}
	/* The table may be shared: then all that it maps is, and each owner counts once (4.3). */
	if (txn_release(w->txn, l2_off, size, 1, e) < 0)
		return -1;
	return map_l1_set(&w->disk->map, idx, 0, e);
}
