/* Two maps of one image, side by side. */
#include "base/align.h"
#include "base/bytes.h"
#include "format/l1_entry.h"
#include "meta/map.h"

#define SIDES 2

/* The L2 table of `guest`; 0: there is none. */
static int l2_find(const struct map *m, uint64_t guest, uint64_t *l2_off, struct err *e)
{
	uint64_t idx = geom_l1_index(m->geom, guest), place = m->l1_off + idx * 8;
	uint64_t in_slice = place & ((UINT64_C(1) << table_cache_slice_bits(m->cache)) - 1);
	const struct table_slice *s;

	*l2_off = 0;
	if (idx >= m->l1_nr)
		return 0;
	if (table_cache_get(m->cache, place - in_slice, &s, e) < 0)
		return err_ctx(e, "L1 table");
	*l2_off = l1_entry_decode(be64_get(s->bytes + in_slice)).l2_off;
	table_cache_put(m->cache, s);
	return 0;
}

/* COPIED is about who may write there. */
static bool words_alike(const struct geom *g, const uint8_t *a, const uint8_t *b, uint64_t idx)
{
	uint64_t at = idx << g->l2_entry_bits;
	uint64_t x = a ? be64_get(a + at) : 0, y = b ? be64_get(b + at) : 0;

	if ((x ^ y) & ~ENTRY_COPIED)
		return false;
	return !g->subclusters || (a ? be64_get(a + at + 8) : 0) == (b ? be64_get(b + at + 8) : 0);
}

/* Looks at two L2 tables from the entry of `guest` on, as far as a slice goes. A table that is not
 * there has entries that say nothing. */
static int tables_alike(const struct map *m[SIDES], const uint64_t l2_off[SIDES], uint64_t guest,
			bool *alike, uint64_t *len, struct err *e)
{
	const struct geom *g = m[0]->geom;
	uint64_t byte = (uint64_t)geom_l2_index(g, guest) << g->l2_entry_bits;
	uint64_t slice = UINT64_C(1) << table_cache_slice_bits(m[0]->cache);
	uint64_t idx = (byte & (slice - 1)) >> g->l2_entry_bits, nr = slice >> g->l2_entry_bits;
	const struct table_slice *s[SIDES] = { NULL };
	int ret = 0;

	for (int i = 0; i < SIDES && ret == 0; i++)
		if (l2_off[i])
			ret = table_cache_get(m[i]->cache, l2_off[i] + (byte & ~(slice - 1)), &s[i],
					      e);
	if (ret == 0) {
		const uint8_t *a = s[0] ? s[0]->bytes : NULL, *b = s[1] ? s[1]->bytes : NULL;
		uint64_t end = idx + 1;

		*alike = words_alike(g, a, b, idx);
		while (end < nr && words_alike(g, a, b, end) == *alike)
			end++;
		*len = ((end - idx) << g->cluster_bits) - geom_in_cluster(g, guest);
	}
	for (int i = 0; i < SIDES; i++)
		if (s[i])
			table_cache_put(m[i]->cache, s[i]);
	return ret < 0 ? err_ctx(e, "L2 table") : 0;
}

int map_alike(const struct map *a, const struct map *b, uint64_t guest, uint64_t max_len,
	      bool *alike, uint64_t *len, struct err *e)
{
	const struct map *m[SIDES] = { a, b };
	uint64_t span = UINT64_C(1) << geom_l2_span_bits(a->geom), l2_off[SIDES];
	uint64_t idx = geom_l1_index(a->geom, guest);
	bool followed = true;

	/* A snapshot's disk may be any length longer than its table. */
	if (idx >= a->l1_nr && idx >= b->l1_nr) {
		*alike = true;
		*len = max_len;
		return 0;
	}
	for (int i = 0; i < SIDES; i++) {
		if (l2_find(m[i], guest, &l2_off[i], e) < 0)
			return -1;
		if (geom_in_cluster(m[i]->geom, l2_off[i]) ||
		    (l2_off[i] && !table_cache_reaches(m[i]->cache, l2_off[i])))
			followed = false;
	}
	*alike = followed && l2_off[0] == l2_off[1];
	*len = span - (guest & (span - 1));
	if (followed && !*alike && tables_alike(m, l2_off, guest, alike, len, e) < 0)
		return -1;
	*len = MIN(*len, max_len);
	return 0;
}
