/* Whether an L1 table begins somewhere: by what it leads to. */
#include "base/bits.h"
#include "format/l2_entry.h"
#include "ops/rebuild_internal.h"

#define EMPTY_ENOUGH   16  /* of them without a single entry: this is no L1 table */
#define READ_COST	    UINT64_C(4096) /* of a shorter read */

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

static void pay(struct rebuild_probe *p)
{
	p->budget -= MIN(p->budget, MAX(geom_cluster_size(&p->layout->geom), READ_COST));
}

/* Whether COPIED says what the refcounts say. */
static bool l1_word_is_good(struct rebuild_probe *p, uint64_t word)
{
	struct l1_entry x = l1_entry_decode(word);

	if (x.reserved || !rebuild_in_file(p->scan, p->layout, x.l2_off))
		return false;
	uint64_t count = rebuild_count(p->scan, p->layout, x.l2_off);

	return count == COUNT_UNKNOWN || (count && x.copied == (count == 1));
}

static void l1_word_take(struct rebuild_probe *p, struct rebuild_l1 *x, uint32_t idx, uint64_t word)
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
static bool l1_cluster_take(struct rebuild_probe *p, struct rebuild_l1 *x, uint32_t first)
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

bool rebuild_probe_is_free(struct rebuild_probe *p, uint64_t off)
{
	return rebuild_count(p->scan, p->layout, off) == 0;
}

static uint64_t stop_of(const struct rebuild_probe *p, uint64_t off)
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

bool rebuild_probe_l1(struct rebuild_probe *p, uint64_t off, struct rebuild_l1 *x)
{
	uint64_t size = geom_cluster_size(&p->layout->geom), at = off;
	struct err ignored = ERR_INIT;

	*x = (struct rebuild_l1){ .off = off };
	p->tested = p->foreign = p->tested_used = 0;
	p->stop_at = stop_of(p, off);
	for (; at < p->stop_at && at - off < L1_BYTES_MAX && !rebuild_probe_is_free(p, at); at += size) {
		pay(p);
		const struct rebuild_probe before = *p;
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

void rebuild_mapped_end_find(struct rebuild_probe *p, struct rebuild_l1 *x)
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

		if (!rebuild_in_file(p->scan, p->layout, l2_off))
			continue;
		pay(p);
		l2_is_plausible(p->scan, p->layout, l2_off, p->l2, &used, &last);
		x->mapped_end = ((uint64_t)i << geom_l2_span_bits(g)) +
				((uint64_t)(last + used) << g->cluster_bits);
	}
}
