/* L1 tables and the snapshot table, by content. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "format/l2_entry.h"
#include "ops/rebuild_internal.h"

#define L2_LOOKED_AT   256 /* tables that an L1 table leads to, in full */
#define EMPTY_ENOUGH   16  /* of them without a single entry: this is no L1 table */
/* Bytes that are read in one layout to find L1 tables; less where no refcounts say what cannot be one.
 * Without a bound, each table over empty clusters is tried in each layout. */
#define PROBE_BYTES	    (UINT64_C(1) << 30)
#define PROBE_BYTES_BLIND   (UINT64_C(256) << 20)
#define READ_COST	    UINT64_C(4096) /* of a shorter read */
#define SNAPSHOT_FIRST ((size_t)256 << 10) /* bytes of a snapshot table that are read at first */

static bool in_file(const struct rebuild_scan *s, const struct rebuild_layout *l, uint64_t host)
{
	return host && !geom_in_cluster(&l->geom, host) && host < s->size;
}

/* --- L2 tables --- */

/* The last entry in use, or 0 with *used false; false: this is no L2 table. */
static bool l2_is_plausible(struct rebuild_scan *s, struct rebuild_layout *l, uint64_t off,
			    uint8_t *table, bool *used, uint32_t *last)
{
	const struct geom *g = &l->geom;
	struct err ignored = ERR_INIT;
	uint32_t good = 0, bad = 0;

	*used = false;
	*last = 0;
	if (file_read_padded(s->file, off, table, geom_cluster_size(g), NULL, &ignored) < 0)
		return false;
	if (bytes_are_zero(table, geom_cluster_size(g)))
		return true;
	for (uint32_t i = 0; i < geom_l2_entries(g); i++) {
		struct l2_entry x = l2_entry_at(g, table, i);

		if (!x.raw && !x.bitmap)
			continue;
		if (l2_entry_problems(g, &x) || x.host >= s->size)
			bad++;
		else
			good++;
		*last = i;
	}
	*used = good != 0;
	return bad * 16 <= good;
}

/* --- L1 tables --- */

struct probe {
	struct rebuild_scan *scan;
	struct rebuild_layout *layout;
	const struct rebuild_snapshots *snapshots;
	uint8_t *l1, *l2; /* a cluster each */
	uint64_t stop_at; /* something else begins here */
	uint32_t tested, foreign, tested_used;
	uint64_t budget; /* bytes that may still be read */
};

static void pay(struct probe *p)
{
	p->budget -= MIN(p->budget, MAX(geom_cluster_size(&p->layout->geom), READ_COST));
}

/* Whether COPIED says what the refcounts say. */
static bool l1_word_is_good(struct probe *p, uint64_t word)
{
	struct l1_entry x = l1_entry_decode(word);

	if (x.reserved || !in_file(p->scan, p->layout, x.l2_off))
		return false;
	uint64_t count = rebuild_count(p->scan, p->layout, x.l2_off);

	return count == COUNT_UNKNOWN || (count && x.copied == (count == 1));
}

static void l1_word_take(struct probe *p, struct rebuild_l1 *x, uint32_t idx, uint64_t word)
{
	uint64_t l2_off = word & ENTRY_OFFSET_MASK;
	bool used;
	uint32_t last;

	x->used++;
	x->nr = idx + 1;
	if (l2_off > x->off && l2_off < p->stop_at)
		p->stop_at = l2_off;
	if (p->tested < L2_LOOKED_AT) {
		p->tested++;
		pay(p);
		p->foreign += !l2_is_plausible(p->scan, p->layout, l2_off, p->l2, &used, &last);
		p->tested_used += used;
	}
}

/* The entries of one more cluster. False: it is none of an L1 table. */
static bool l1_cluster_take(struct probe *p, struct rebuild_l1 *x, uint32_t first)
{
	uint32_t nr = (uint32_t)(geom_cluster_size(&p->layout->geom) / 8), good = 0, bad = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t word = be64_get(p->l1 + 8 * i);

		if (!word)
			continue;
		if (l1_word_is_good(p, word))
			good++;
		else if (++bad > 8)
			return false;
	}
	if (bad * 8 > good)
		return false;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t word = be64_get(p->l1 + 8 * i);

		if (word && l1_word_is_good(p, word))
			l1_word_take(p, x, first + i, word);
		if (p->foreign > 1 && p->foreign * 8 > p->tested)
			return false;
		/* An L2 table over data that is zeros looks like an L1 table: no need to see all. */
		if (p->tested >= EMPTY_ENOUGH && !p->tested_used)
			return false;
	}
	return true;
}

static bool is_free(struct probe *p, uint64_t off)
{
	return rebuild_count(p->scan, p->layout, off) == 0;
}

static uint64_t stop_of(const struct probe *p, uint64_t off)
{
	const struct rebuild_snapshots *t = p->snapshots;
	uint64_t stop = p->scan->size;

	if (p->layout->table_off > off)
		stop = MIN(stop, p->layout->table_off);
	if (t->off > off)
		stop = MIN(stop, t->off);
	for (uint32_t i = 0; i < t->nr; i++)
		if (t->l1_offs[i] > off)
			stop = MIN(stop, t->l1_offs[i]);
	return stop;
}

static bool l1_probe(struct probe *p, uint64_t off, struct rebuild_l1 *x)
{
	uint64_t size = geom_cluster_size(&p->layout->geom), at = off;
	struct err ignored = ERR_INIT;

	*x = (struct rebuild_l1){ .off = off };
	p->tested = p->foreign = p->tested_used = 0;
	p->stop_at = stop_of(p, off);
	for (; at < p->stop_at && at - off < L1_BYTES_MAX && !is_free(p, at); at += size) {
		pay(p);
		const struct probe before = *p;
		const struct rebuild_l1 good = *x;

		if (file_read_padded(p->scan->file, at, p->l1, size, NULL, &ignored) == 0 &&
		    l1_cluster_take(p, x, (uint32_t)((at - off) / 8)))
			continue;
		const uint64_t left = p->budget;

		*p = before;
		p->budget = left;
		*x = good;
		break;
	}
	x->room = (uint32_t)((at - off) / 8);
	return x->used && p->tested_used && p->foreign * 4 <= p->tested;
}

static void mapped_end_find(struct probe *p, struct rebuild_l1 *x)
{
	const struct geom *g = &p->layout->geom;
	struct err ignored = ERR_INIT;
	uint8_t word[8];
	bool used = false;
	uint32_t last;

	p->budget = PROBE_BYTES_BLIND;
	for (uint32_t i = x->nr; i-- && !used && p->budget;) {
		if (file_read_padded(p->scan->file, x->off + (uint64_t)i * 8, word, 8, NULL,
				     &ignored) < 0)
			return;
		uint64_t l2_off = be64_get(word) & ENTRY_OFFSET_MASK;

		if (!in_file(p->scan, p->layout, l2_off))
			continue;
		pay(p);
		l2_is_plausible(p->scan, p->layout, l2_off, p->l2, &used, &last);
		x->mapped_end = ((uint64_t)i << geom_l2_span_bits(g)) +
				((uint64_t)(last + used) << g->cluster_bits);
	}
}

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

static void place_probe(struct probe *p, uint64_t at, struct rebuild_l1 list[L1_MAX], size_t *nr)
{
	uint64_t table = p->layout->table_off;
	uint64_t table_end = table + ((uint64_t)p->layout->table_clusters << p->layout->geom.cluster_bits);
	struct rebuild_l1 x;

	if ((at >= table && at < table_end) || is_free(p, at) || !l1_probe(p, at, &x))
		return;
	x.is_snapshot = is_snapshot_l1(p->snapshots, at);
	l1_insert(list, nr, &x);
}

/* The places where runs of pointers start, or all others. An L1 table mostly follows something else,
 * so that the former are the first to be paid for. */
static int runs_probe(struct probe *p, bool starts, struct rebuild_l1 list[L1_MAX], size_t *nr,
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

static bool is_empty_part(struct probe *p, uint64_t at)
{
	uint64_t size = geom_cluster_size(&p->layout->geom);
	struct err ignored = ERR_INIT;

	return at != p->layout->table_off && rebuild_count(p->scan, p->layout, at) == 1 &&
	       file_read_padded(p->scan->file, at, p->l1, size, NULL, &ignored) == 0 &&
	       bytes_are_zero(p->l1, size);
}

/* A disk that maps nothing has an L1 table of zeros: the first clusters that are counted and empty. */
static void empty_l1_find(struct probe *p, struct rebuild_l1 list[L1_MAX], size_t *nr)
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
static void start_find(struct probe *p, struct rebuild_l1 list[L1_MAX], size_t *nr)
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
	struct probe p = { .scan = s, .layout = l, .snapshots = t, .l1 = l1, .l2 = l2,
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
		mapped_end_find(&p, &list[i]);
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

		if (!in_file(s, l, l2_off))
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

/* --- snapshots --- */

static bool is_plain(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] < 0x20 || b.p[i] == 0x7f)
			return false;
	return true;
}

static bool entry_is_plausible(struct rebuild_scan *s, struct rebuild_layout *l,
			       const struct snapshot_entry *x)
{
	return in_file(s, l, x->l1_off) && x->l1_nr && x->l1_nr <= L1_BYTES_MAX / 8 &&
	       x->id.n && is_plain(x->id) && x->date_nsec < 1000000000 &&
	       rebuild_count(s, l, x->l1_off) != 0;
}

static int entry_take(struct rebuild_snapshots *t, const struct snapshot_entry *x, size_t *room,
		      struct err *e)
{
	if (!vec_grow(&t->l1_offs, t->nr, room))
		return err_nomem(e);
	t->l1_offs[t->nr++] = x->l1_off;
	t->short_extra |= x->extra.n < SNAPSHOT_EXTRA_V3_MIN;
	t->last_l1_nr = x->l1_nr;
	if (x->has_disk_size)
		t->disk_size = x->disk_size;
	return 0;
}

static int table_read(struct rebuild_scan *s, struct rebuild_layout *l, uint64_t off,
		      struct rebuild_snapshots *t, struct err *e)
{
	size_t n = SNAPSHOT_FIRST, room = 0;

	for (;; n *= 4) {
		AUTO_FREE uint8_t *bytes = malloc(n);
		struct snapshot_entry x;
		struct err ignored = ERR_INIT;

		if (!bytes)
			return err_nomem(e);
		if (file_read_padded(s->file, off, bytes, n, NULL, e) < 0)
			return -1;
		struct rd r = rd_over(bytes, n);

		free(t->l1_offs);
		*t = (struct rebuild_snapshots){ .off = off };
		room = 0;
		while (t->nr < SNAPSHOTS_MAX && snapshot_entry_decode(&r, &x, &ignored) == 0 &&
		       entry_is_plausible(s, l, &x))
			if (entry_take(t, &x, &room, e) < 0)
				return -1;
		if (!r.failed || n >= SNAPSHOT_TABLE_BYTES_MAX)
			return 0;
	}
}

int rebuild_snapshots(struct rebuild_scan *s, struct rebuild_layout *l, struct rebuild_snapshots *t,
		      struct err *e)
{
	*t = (struct rebuild_snapshots){ 0 };
	for (size_t i = 0; i < s->snapshot_nr; i++) {
		struct rebuild_snapshots x = { 0 };
		uint64_t off = s->snapshots[i];

		if (!in_file(s, l, off) || rebuild_count(s, l, off) == 0)
			continue;
		if (table_read(s, l, off, &x, e) < 0) {
			free(x.l1_offs);
			return -1;
		}
		if (x.nr > t->nr) {
			free(t->l1_offs);
			*t = x;
		} else {
			free(x.l1_offs);
		}
	}
	return 0;
}
