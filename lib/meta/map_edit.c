#include "meta/map_edit.h"

#include <inttypes.h>

#include "base/align.h"

static int l1_get(const struct map *m, uint64_t idx, struct l1_entry *l1, struct err *e)
{
	uint64_t size = UINT64_C(1) << table_cache_slice_bits(m->cache), at = idx * 8;
	const struct table_slice *s;

	if (idx >= m->l1_nr)
		return err_set(e, ERR_INVALID, "the L1 table has %" PRIu32 " entries", m->l1_nr);
	if (table_cache_get(m->cache, m->l1_off + align_down(at, size), &s, e) < 0)
		return err_ctx(e, "L1 table");
	*l1 = l1_entry_decode(be64_get(s->bytes + (at & (size - 1))));
	table_cache_put(m->cache, s);
	if (geom_in_cluster(m->geom, l1->l2_off) ||
	    (l1->l2_off && !table_cache_reaches(m->cache, l1->l2_off)))
		return err_set(e, ERR_CORRUPT,
			       "L1 entry %" PRIu64 " leads to %#" PRIx64
			       ", where no L2 table can be",
			       idx, l1->l2_off);
	return 0;
}

int map_l1_set(const struct map *m, uint32_t idx, uint64_t raw, struct err *e)
{
	uint8_t bytes[8];

	be64_put(bytes, raw);
	return table_cache_edit(m->cache, m->l1_off + idx * UINT64_C(8), bytes, sizeof bytes, e);
}

int map_l2_find(const struct map *m, uint64_t guest, uint64_t *l2_off, struct err *e)
{
	struct l1_entry l1 = { 0 };

	if (l1_get(m, geom_l1_index(m->geom, guest), &l1, e) < 0)
		return -1;
	*l2_off = l1.l2_off;
	return 0;
}

/* Flags in a shared table are not to be trusted, and what it maps is shared as well (5.5). */
static void claims_drop(const struct geom *g, uint8_t *bytes, size_t n)
{
	size_t step = (size_t)1 << g->l2_entry_bits;

	if (g->data_file)
		return; /* there COPIED only says that the cluster is there */
	for (size_t at = 0; at < n; at += step) {
		uint64_t raw = be64_get(bytes + at);

		if (!(raw & ENTRY_COMPRESSED))
			be64_put(bytes + at, raw & ~ENTRY_COPIED);
	}
}

/* Without snapshots nobody shares tables: a count that says so is too high, and the claims stay. */
static int table_copy(const struct map *m, uint64_t from, uint64_t to, bool shared, struct err *e)
{
	uint64_t size = UINT64_C(1) << table_cache_slice_bits(m->cache);
	uint8_t part[4096];

	for (uint64_t at = 0; at < geom_cluster_size(m->geom); at += size) {
		const struct table_slice *s;
		int ret = 0;

		if (table_cache_get(m->cache, from + at, &s, e) < 0)
			return err_ctx(e, "L2 table at %#" PRIx64, from);
		for (uint64_t in = 0; ret == 0 && in < size; in += sizeof part) {
			size_t n = MIN(size - in, sizeof part);

			memcpy(part, s->bytes + in, n);
			if (shared)
				claims_drop(m->geom, part, n);
			ret = table_cache_edit(m->cache, to + at + in, part, n, e);
		}
		table_cache_put(m->cache, s);
		if (ret < 0)
			return -1;
	}
	return 0;
}

int map_l2_make(const struct map *m, struct txn *x, uint64_t guest, uint64_t *l2_off,
		struct err *e)
{
	uint64_t idx = geom_l1_index(m->geom, guest), count = 0;
	struct l1_entry l1 = { 0 };

	if (l1_get(m, idx, &l1, e) < 0 ||
	    (l1.l2_off && txn_refcount(x, l1.l2_off, &count, e) < 0))
		return -1;
	*l2_off = l1.l2_off;
	if (l1.l2_off && !count)
		return err_set(e, ERR_CORRUPT,
			       "the L2 table at %#" PRIx64 " has refcount 0; run check -r all",
			       l1.l2_off);
	/* A claim that is false would cost a snapshot its data: the count has to agree. */
	if (l1.l2_off && l1.copied && count == 1)
		return 0;
	if (txn_take_table(x, TXN_L2_TABLE, 1, l2_off, e) < 0)
		return -1;
	if (l1.l2_off && (table_copy(m, l1.l2_off, *l2_off, txn_has_snapshots(x), e) < 0 ||
			  txn_release(x, l1.l2_off, 1, 1, e) < 0))
		return -1;
	return map_l1_set(m, (uint32_t)idx, *l2_off | ENTRY_COPIED, e);
}

int map_entry_get(const struct map *m, uint64_t l2_off, uint32_t idx, struct l2_entry *x,
		  struct err *e)
{
	uint64_t size = UINT64_C(1) << table_cache_slice_bits(m->cache);
	uint64_t at = (uint64_t)idx << m->geom->l2_entry_bits;
	const struct table_slice *s;

	if (table_cache_get(m->cache, l2_off + align_down(at, size), &s, e) < 0)
		return err_ctx(e, "L2 table at %#" PRIx64, l2_off);
	*x = l2_entry_at(m->geom, s->bytes, (uint32_t)((at & (size - 1)) >> m->geom->l2_entry_bits));
	table_cache_put(m->cache, s);
	if (l2_entry_unreadable(m->geom, x) ||
	    (m->geom->subclusters &&
	     l2_entry_subcluster_kind(m->geom, x, 0) == CLUSTER_INVALID))
		return err_set(e, ERR_CORRUPT,
			       "entry %" PRIu32 " of the L2 table at %#" PRIx64
			       " is invalid (%#" PRIx64 ")",
			       idx, l2_off, x->raw);
	return 0;
}

int map_entries_set(const struct map *m, uint64_t l2_off, uint32_t idx,
		    const struct map_words *words, uint32_t nr, struct err *e)
{
	unsigned bits = m->geom->l2_entry_bits;
	uint8_t bytes[4096];

	while (nr) {
		uint32_t n = (uint32_t)MIN((uint64_t)nr, sizeof bytes >> bits);

		for (uint32_t i = 0; i < n; i++)
			l2_entry_store(m->geom, bytes, i, words[i].raw, words[i].bitmap);
		if (table_cache_edit(m->cache, l2_off + ((uint64_t)idx << bits), bytes,
				     (size_t)n << bits, e) < 0)
			return -1;
		idx += n;
		words += n;
		nr -= n;
	}
	return 0;
}
