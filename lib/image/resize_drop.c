/* Clusters that no guest offset leads to any more: behind the end of the disk. */
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "image/resize_internal.h"
#include "meta/l2_run.h"

/* The L2 table as a whole, into the writer's buffer. */
static int table_load(struct resize *z, uint64_t l2_off, struct err *e)
{
	uint64_t size = UINT64_C(1) << table_cache_slice_bits(z->img->tables);
	const struct table_slice *s;

	for (uint64_t at = 0; at < geom_cluster_size(&z->img->geom); at += size) {
		if (table_cache_get(z->img->tables, l2_off + at, &s, e) < 0)
			return err_ctx(e, "L2 table");
		memcpy(z->w->cluster + at, s->bytes, size);
		table_cache_put(z->img->tables, s);
	}
	return 0;
}

/* Nobody reads the entry any more: one that can't be followed leaks at most. */
static int odd_release(struct resize *z, uint32_t idx, struct err *e)
{
	struct l2_entry x = l2_entry_at(&z->img->geom, z->w->cluster, idx);

	return l2_entry_unreadable(&z->img->geom, &x) ? 0 : writer_release(z->w, &x, e);
}

/* What entries from idx on of the table in the buffer map. */
static int entries_release(struct resize *z, uint32_t idx, struct err *e)
{
	const struct geom *g = &z->img->geom;
	struct l2_scan scan = l2_scan_init(g);
	struct l2_run run;

	for (; l2_run_next(&scan, z->w->cluster, idx, &run); idx = run.idx + run.nr) {
		if (run.kind == L2_RUN_ODD) {
			if (odd_release(z, run.idx, e) < 0)
				return -1;
			continue;
		}
		if (!g->data_file && txn_release_guest(z->w->txn, run.host,
						       (uint64_t)run.nr << g->cluster_bits, 1, e) < 0)
			return -1;
	}
	return 0;
}

static int table_drop(struct resize *z, uint64_t l2_off, struct err *e)
{
	const struct geom *g = &z->img->geom;

	if (geom_in_cluster(g, l2_off) || !table_cache_reaches(z->img->tables, l2_off))
		return 0;
	/* A table usually lies in front of what it maps: in this order they make one run. */
	if (table_load(z, l2_off, e) < 0 ||
	    txn_release(z->w->txn, l2_off, geom_cluster_size(g), 1, e) < 0)
		return -1;
	return entries_release(z, 0, e);
}

static int l1_entry_read(struct resize *z, uint64_t off, uint64_t *l2_off, struct err *e)
{
	uint64_t size = UINT64_C(1) << table_cache_slice_bits(z->img->tables);
	const struct table_slice *s;

	if (table_cache_get(z->img->tables, align_down(off, size), &s, e) < 0)
		return err_ctx(e, "L1 table");
	*l2_off = l1_entry_decode(be64_get(s->bytes + (off & (size - 1)))).l2_off;
	table_cache_put(z->img->tables, s);
	return 0;
}

int resize_drop_tables(struct resize *z, uint64_t l1_off, uint32_t from, uint32_t to, bool clear,
		       struct err *e)
{
	uint64_t l2_off = 0;

	for (uint32_t i = from; i < to; i++) {
		if (l1_entry_read(z, l1_off + i * UINT64_C(8), &l2_off, e) < 0)
			return -1;
		if (!l2_off)
			continue;
		if ((clear && map_l1_set(&z->disk->map, i, 0, e) < 0) || table_drop(z, l2_off, e) < 0 ||
		    image_writer_relax(z->w, e) < 0)
			return -1;
	}
	return 0;
}

int resize_drop_entries(struct resize *z, uint64_t guest, struct err *e)
{
	static const struct map_words nothing[64];
	const struct geom *g = &z->img->geom;
	uint32_t idx = geom_l2_index(g, guest), end = (uint32_t)geom_l2_entries(g), n;
	size_t at = (size_t)idx << g->l2_entry_bits;
	uint64_t l2_off;

	if (!idx || geom_l1_index(g, guest) >= z->disk->map.l1_nr)
		return 0; /* whole tables only */
	if (map_l2_find(&z->disk->map, guest, &l2_off, e) < 0)
		return -1;
	if (!l2_off)
		return 0;
	if (table_load(z, l2_off, e) < 0)
		return -1;
	if (bytes_are_zero(z->w->cluster + at, geom_cluster_size(g) - at))
		return 0;
	if (writer_l2(z->w, guest, e) < 0 || entries_release(z, idx, e) < 0)
		return -1;
	for (; idx < end; idx += n) {
		n = MIN(end - idx, (uint32_t)(sizeof nothing / sizeof *nothing));
		if (map_entries_set(&z->disk->map, z->w->l2_off, idx, nothing, n, e) < 0)
			return -1;
	}
	return image_writer_relax(z->w, e);
}
