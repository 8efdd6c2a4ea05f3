/* Which L1 tables there are, by content, and which may be the disk's. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "format/l2_entry.h"
#include "ops/rebuild_internal.h"

static bool is_snapshot_l1(const struct rebuild_snapshots *t, uint64_t off)
{
	for (uint32_t i = 0; i < t->nr; i++)
		if (t->l1_offs[i] == off)
			return true;
	return false;
}

/* The disk's own before those of snapshots; of those the one that leads to more. */
static bool l1_is_better(const struct rebuild_l1 *a, const struct rebuild_l1 *b)
{
	return a->is_snapshot != b->is_snapshot ? b->is_snapshot : a->used > b->used;
}

static void l1_insert(struct rebuild_l1 list[L1_MAX], size_t *nr, const struct rebuild_l1 *x)
{
	size_t i = *nr;

	if (i == L1_MAX && !l1_is_better(x, &list[--i]))
		return;
	*nr = MIN(*nr + 1, (size_t)L1_MAX);
	for (; i && l1_is_better(x, &list[i - 1]); i--)
		list[i] = list[i - 1];
	list[i] = *x;
}

static void place_probe(struct rebuild_probe *p, uint64_t at, struct rebuild_l1 list[L1_MAX], size_t *nr)
{
	uint64_t table = p->layout->table_off;
	uint64_t table_end = table + ((uint64_t)p->layout->table_clusters << p->layout->geom.cluster_bits);
	struct rebuild_l1 x;

	if ((at >= table && at < table_end) || rebuild_probe_is_free(p, at) || !rebuild_probe_l1(p, at, &x))
		return;
	x.is_snapshot = is_snapshot_l1(p->snapshots, at);
	l1_insert(list, nr, &x);
}

/* The places where runs of pointers start, or all others. An L1 table mostly follows something else,
 * so that the former are the first to be paid for. */
static int runs_probe(struct rebuild_probe *p, bool starts, struct rebuild_l1 list[L1_MAX], size_t *nr,
		      struct err *e)
{
	uint64_t size = geom_cluster_size(&p->layout->geom), last = 0;

	for (size_t i = 0; i < p->scan->run_nr && p->budget; i++) {
		uint64_t first = align_down(p->scan->runs[i].off, size);
		uint64_t at = MAX(first, last + size);

		if (watch_stopped(p->scan->watch, e) < 0)
			return -1;
		for (; at < p->scan->runs[i].end && p->budget; at += size) {
			last = at;
			if ((at == first) == starts)
				place_probe(p, at, list, nr);
		}
	}
	return 0;
}

static bool is_empty_part(struct rebuild_probe *p, uint64_t at)
{
	uint64_t size = geom_cluster_size(&p->layout->geom);
	struct err ignored = ERR_INIT;

	return at != p->layout->table_off && rebuild_count(p->scan, p->layout, at) == 1 &&
	       file_read_padded(p->scan->file, at, p->l1, size, NULL, &ignored) == 0 &&
	       bytes_are_zero(p->l1, size);
}

/* A disk that maps nothing has an L1 table of zeros: the first clusters that are counted and empty. */
static void empty_l1_find(struct rebuild_probe *p, struct rebuild_l1 list[L1_MAX], size_t *nr)
{
	uint64_t size = geom_cluster_size(&p->layout->geom);
	uint64_t end = MIN(p->scan->size, 4096 * size);
	struct rebuild_l1 x = { 0 };

	if (!p->layout->table_clusters)
		return;
	for (uint64_t at = size; at < end; at += size) {
		bool fits = is_empty_part(p, at);

		if (!fits && x.off)
			break;
		if (fits && !x.off)
			x.off = at;
		x.room += fits ? (uint32_t)(size / 8) : 0;
	}
	if (x.off)
		l1_insert(list, nr, &x);
}

/* A table whose first clusters have no entries, or lost them, is found too late: the disk would be
 * shifted. The one that begins before is tried first, and loses if something else lies there. */
static void start_find(struct rebuild_probe *p, struct rebuild_l1 list[L1_MAX], size_t *nr)
{
	uint64_t size = geom_cluster_size(&p->layout->geom);
	struct rebuild_l1 x = list[0];
	uint32_t more;

	while (x.off > size && x.room < L1_BYTES_MAX / 8 && is_empty_part(p, x.off - size)) {
		x.off -= size;
		x.room += (uint32_t)(size / 8);
	}
	more = x.room - list[0].room;
	if (!more)
		return;
	x.nr += more;
	*nr = MIN(*nr + 1, (size_t)L1_MAX);
	memmove(list + 1, list, (*nr - 1) * sizeof *list);
	list[0] = x;
}

int rebuild_l1_tables(struct rebuild_scan *s, struct rebuild_layout *l,
		      const struct rebuild_snapshots *t, struct rebuild_l1 list[L1_MAX], size_t *nr,
		      struct err *e)
{
	AUTO_FREE uint8_t *l1 = malloc(geom_cluster_size(&l->geom));
	AUTO_FREE uint8_t *l2 = malloc(geom_cluster_size(&l->geom));
	struct rebuild_probe p = { .scan = s, .layout = l, .snapshots = t, .l1 = l1, .l2 = l2,
			   .budget = l->table_clusters ? PROBE_BYTES : PROBE_BYTES_BLIND };

	*nr = 0;
	if (!l1 || !l2)
		return err_nomem(e);
	if (runs_probe(&p, true, list, nr, e) < 0 || runs_probe(&p, false, list, nr, e) < 0)
		return -1;
	if (!*nr || list[0].is_snapshot)
		empty_l1_find(&p, list, nr);
	else if (l->table_clusters)
		start_find(&p, list, nr);
	for (size_t i = 0; i < *nr; i++)
		rebuild_mapped_end_find(&p, &list[i]);
	return 0;
}

bool rebuild_l1_new(const struct rebuild_scan *s, const struct rebuild_layout *l,
		    struct rebuild_l1 *x)
{
	*x = (struct rebuild_l1){ .off = align_up(s->size, geom_cluster_size(&l->geom)),
				  .room = L1_BYTES_MAX / 8,
				  .is_new = true };
	return l->table_clusters && l->gap << l->geom.cluster_bits < s->size / 2;
}

bool rebuild_is_zstd(struct rebuild_scan *s, struct rebuild_layout *l, const struct rebuild_l1 *x)
{
	static const uint8_t magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };
	AUTO_FREE uint8_t *l2 = malloc(geom_cluster_size(&l->geom));
	struct err ignored = ERR_INIT;
	uint8_t bytes[8];

	for (uint32_t i = 0, tables = 0; l2 && i < x->nr && tables < L2_LOOKED_AT; i++) {
		if (file_read_padded(s->file, x->off + (uint64_t)i * 8, bytes, 8, NULL, &ignored) < 0)
			return false;
		uint64_t l2_off = be64_get(bytes) & ENTRY_OFFSET_MASK;

		if (!rebuild_in_file(s, l, l2_off))
			continue;
		tables++;
		if (file_read_padded(s->file, l2_off, l2, geom_cluster_size(&l->geom), NULL,
				     &ignored) < 0)
			return false;
		for (uint32_t k = 0; k < geom_l2_entries(&l->geom); k++) {
			struct l2_entry c = l2_entry_at(&l->geom, l2, k);

			if (c.packed && c.host < s->size)
				return file_read_padded(s->file, c.host, bytes, 4, NULL,
							&ignored) == 0 &&
				       memcmp(bytes, magic, 4) == 0;
		}
	}
	return false;
}
