#include "meta/map.h"

#include "base/align.h"

static int corrupt(uint64_t guest, const char *what, uint64_t value, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "guest offset %#llx: %s (%#llx)",
		       (unsigned long long)guest, what, (unsigned long long)value);
}

/* Finds the L2 table of `guest`. *l2_off = 0: there is none, and *len says for how many bytes
 * that holds; on failure, how many bytes are lost with what is wrong. */
static int l1_lookup(const struct map *m, uint64_t guest, uint64_t *l2_off, uint64_t *len,
		     struct err *e)
{
	uint64_t span = UINT64_C(1) << geom_l2_span_bits(m->geom);
	uint64_t idx = geom_l1_index(m->geom, guest);
	unsigned slice_bits = table_cache_slice_bits(m->cache);
	uint64_t byte = idx * 8, in_slice = byte & ((UINT64_C(1) << slice_bits) - 1);
	const struct table_slice *s;

	*l2_off = 0;
	*len = span - (guest & (span - 1));
	if (idx >= m->l1_nr) { /* a snapshot's disk may be any length longer than its table */
		*len = UINT64_MAX - guest;
		return 0;
	}
	uint64_t slice_off = m->l1_off + byte - in_slice, to_end = m->l1_nr - idx;
	uint64_t nr = MIN(to_end, ((UINT64_C(1) << slice_bits) - in_slice) / 8);

	if (!table_cache_reaches(m->cache, slice_off)) {
		*len += (to_end - 1) * span;
		return corrupt(guest, "the L1 table lies past the end of the file", slice_off, e);
	}
	if (table_cache_get(m->cache, slice_off, &s, e) < 0) {
		*len += (nr - 1) * span;
		return err_ctx(e, "L1 table");
	}
	uint64_t raw = be64_get(s->bytes + in_slice), empty = 1;

	*l2_off = l1_entry_decode(raw).l2_off;
	if (!*l2_off)
		while (empty < nr && !l1_entry_decode(be64_get(s->bytes + in_slice + 8 * empty))
					      .l2_off)
			empty++;
	table_cache_put(m->cache, s);
	*len += (empty - 1) * span;
	if (geom_in_cluster(m->geom, *l2_off))
		return corrupt(guest, "the L2 table is not cluster aligned", *l2_off, e);
	/* What a file that was cut short has lost must not pass for a hole. */
	if (*l2_off && !table_cache_reaches(m->cache, *l2_off))
		return corrupt(guest, "the L2 table lies past the end of the file", *l2_off, e);
	return 0;
}

/* The kind at one (sub)cluster and how many bytes of its cluster, from guest on, share it. */
static enum cluster_kind kind_at(const struct map *m, const struct l2_entry *x,
				 uint64_t guest, uint64_t *len)
{
	const struct geom *g = m->geom;
	uint64_t in_cluster = geom_in_cluster(g, guest);
	enum cluster_kind kind;

	if (!g->subclusters) {
		*len = geom_cluster_size(g) - in_cluster;
		return l2_entry_kind(g, x);
	}
	unsigned first = geom_subcluster_index(g, guest);
	unsigned nr = l2_entry_subcluster_run(g, x, first, &kind);

	*len = (first + nr) * geom_subcluster_size(g) - in_cluster;
	return kind == CLUSTER_ABSENT_HOST ? CLUSTER_ABSENT : kind;
}

static bool has_place(enum cluster_kind kind)
{
	return kind == CLUSTER_DATA || kind == CLUSTER_ZERO_HOST;
}

/* What keeps a reader from following an entry; NULL: nothing. *value: what is wrong of it. */
static const char *entry_fault(const struct map *m, const struct l2_entry *x,
			       enum cluster_kind kind, uint64_t guest, uint64_t *value)
{
	*value = x->raw;
	if (kind == CLUSTER_INVALID)
		return "the L2 entry is invalid";
	if (kind == CLUSTER_PACKED && m->geom->data_file)
		return "compressed cluster with an external data file";
	if (!has_place(kind))
		return NULL;
	*value = x->host;
	if (geom_in_cluster(m->geom, x->host))
		return "the host offset is not cluster aligned";
	if (m->geom->data_file && x->host != align_down(guest, geom_cluster_size(m->geom)))
		return "the entry points to another place of the data file";
	return NULL;
}

/* Joins the entries behind idx that cannot be followed either. */
static void fault_extend(const struct map *m, const uint8_t *table, uint64_t idx,
			 uint64_t nr, uint64_t guest, uint64_t max_len, struct map_run *r)
{
	while (r->len < max_len && !geom_in_cluster(m->geom, guest + r->len) && ++idx < nr) {
		struct l2_entry x = l2_entry_at(m->geom, table, (uint32_t)idx);
		uint64_t at = guest + r->len, len, value;
		enum cluster_kind kind = kind_at(m, &x, at, &len);

		if (!entry_fault(m, &x, kind, at, &value))
			break;
		r->len += len;
	}
	r->len = MIN(r->len, max_len);
}

/* How many entries behind idx (below nr) continue a run of standard, whole clusters: the same
 * word but for the host offset, which moves on by a cluster. The tight loop behind everything
 * that walks large tables. */
static uint64_t same_run(const struct geom *g, const uint8_t *table, uint64_t idx,
			 uint64_t nr)
{
	uint64_t first = be64_get(table + 8 * idx), want = first;
	uint64_t step = first & ENTRY_OFFSET_MASK ? geom_cluster_size(g) : 0, i = idx + 1;

	for (; i < nr; i++) {
		want += step;
		if (be64_get(table + 8 * i) != want)
			break;
	}
	return i - idx - 1;
}

/* Joins what follows. `table` is the slice, nr its entries; r describes the run so far, which
 * ends inside entry idx or at its end. */
static void run_extend(const struct map *m, const uint8_t *table, uint64_t idx, uint64_t nr,
		       uint64_t guest, uint64_t max_len, struct map_run *r)
{
	const struct geom *g = m->geom;

	while (r->len < max_len) {
		uint64_t at = guest + r->len, len;

		if (!geom_in_cluster(g, at) && ++idx >= nr)
			break;
		struct l2_entry x = l2_entry_at(g, table, (uint32_t)idx);

		if (kind_at(m, &x, at, &len) != r->kind)
			break;
		if (has_place(r->kind) && x.host + geom_in_cluster(g, at) != r->host + r->len)
			break;
		r->len += len;
		if (!g->subclusters && !x.packed) {
			uint64_t more = same_run(g, table, idx, nr);

			r->len += more << g->cluster_bits;
			idx += more;
		}
	}
	r->len = MIN(r->len, max_len);
}

static int l2_lookup(const struct map *m, uint64_t l2_off, uint64_t guest, uint64_t max_len,
		     struct map_run *r, struct err *e)
{
	const struct geom *g = m->geom;
	uint64_t byte = (uint64_t)geom_l2_index(g, guest) << g->l2_entry_bits;
	uint64_t slice_size = UINT64_C(1) << table_cache_slice_bits(m->cache);
	uint64_t idx = (byte & (slice_size - 1)) >> g->l2_entry_bits;
	uint64_t nr = slice_size >> g->l2_entry_bits, value;
	const struct table_slice *s;

	if (table_cache_get(m->cache, l2_off + (byte & ~(slice_size - 1)), &s, e) < 0) {
		r->len = MIN(((nr - idx) << g->cluster_bits) - geom_in_cluster(g, guest),
			     max_len);
		return err_ctx(e, "L2 table at %#llx", (unsigned long long)l2_off);
	}
	struct l2_entry x = l2_entry_at(g, s->bytes, (uint32_t)idx);

	r->kind = kind_at(m, &x, guest, &r->len);
	r->host = x.packed ? x.host : x.host + geom_in_cluster(g, guest);
	r->host_len = x.host_len;
	const char *fault = entry_fault(m, &x, r->kind, guest, &value);

	if (fault)
		fault_extend(m, s->bytes, idx, nr, guest, max_len, r);
	else
		run_extend(m, s->bytes, idx, nr, guest, max_len, r);
	table_cache_put(m->cache, s);
	return fault ? corrupt(guest, fault, value, e) : 0;
}

/* Whether the L1 entry leads elsewhere by now: who edits the tables on another thread may have put a
 * copy of an L2 table in its place, and given its cluster away, before it was read. */
static bool is_replaced(const struct map *m, uint64_t guest, uint64_t l2_off)
{
	struct err ignored = ERR_INIT;
	uint64_t now, len;

	return table_cache_is_edited(m->cache) &&
	       l1_lookup(m, guest, &now, &len, &ignored) == 0 && now != l2_off;
}

int map_next(const struct map *m, uint64_t guest, uint64_t max_len, struct map_run *r,
	     struct err *e)
{
	uint64_t l2_off, len;
	int ret;

	while ((ret = l1_lookup(m, guest, &l2_off, &len, e)) == 0 && l2_off) {
		ret = l2_lookup(m, l2_off, guest, max_len, r, e);
		if (!is_replaced(m, guest, l2_off))
			return ret;
		*e = ERR_INIT;
	}
	*r = (struct map_run){ .kind = CLUSTER_ABSENT, .len = MIN(len, max_len) };
	return ret;
}
