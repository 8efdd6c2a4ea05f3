/* L1 tables of snapshots that are L2 tables of somebody else: an offset that is wrong by a bit leads to
 * one as easily as to anything. Both kinds of table look alike; what tells them apart is where their
 * entries lead. */
#include "meta/walk_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/bytes.h"
#include "format/l2_entry.h"

/* Entries of a table that are followed, and what may be read for all tables together. */
#define FOLLOWED_MAX   16
#define FOLLOWED_BYTES (UINT64_C(64) << 20)

/* Entries of t that count: more than the disk takes may be something else (meta/walk_long.c). */
static uint64_t table_end(const struct walk *w, const struct walk_tree *t)
{
	return t->l1_off + walk_l1_needed(w, t) * UINT64_C(8);
}

/* The tree whose L1 table lies at `host`; of equal ones the first. tree_nr: none. */
static size_t tree_at(const struct walk *w, uint64_t host)
{
	size_t low = 0, high = w->tree_nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (w->trees[mid].l1_off <= host)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || host >= table_end(w, &w->trees[low - 1]))
		return w->tree_nr;
	for (low--; low && w->trees[low - 1].l1_off == w->trees[low].l1_off;)
		low--;
	return low;
}

/* Marks the trees whose L1 table is where an entry of this one leads. Tables come in the order of their
 * offsets, and where they lie across each other, bytes below *read_to were looked at already. */
static void hits_mark(struct walk *w, const struct walk_tree *t, bool *hit, uint64_t *read_to)
{
	const struct geom *g = w->src.geom;
	uint64_t end = MIN(table_end(w, t), w->end);
	uint64_t seen = *read_to > t->l1_off ? align_up(*read_to - t->l1_off, 8) : 0;
	struct err ignored = ERR_INIT;
	bool empty;

	*read_to = MAX(*read_to, end);
	for (uint64_t at = t->l1_off + seen, n; at < end; at += n) {
		n = MIN(end - at, WALK_BUFFER);
		if (walk_try(w, at, w->buf, (size_t)n, &empty, &ignored) < 0 || empty)
			continue;
		for (uint64_t i = 0; i + 8 <= n; i += 8) {
			uint64_t host = be64_get(w->buf + i) & ENTRY_OFFSET_MASK;
			size_t other = host && !geom_in_cluster(g, host) ? tree_at(w, host) : w->tree_nr;

			if (other < w->tree_nr && w->trees[other].l1_off != t->l1_off)
				hit[other] = true;
		}
	}
}

/* What a cluster says of itself. */
enum looks { LOOKS_EMPTY, LOOKS_SOUND, LOOKS_FOREIGN };

static enum looks table_looks(struct walk *w, uint64_t host)
{
	const struct geom *g = w->src.geom;
	struct err ignored = ERR_INIT;
	uint32_t used = 0;
	bool empty;

	if (!walk_in_file(w, host, geom_cluster_size(g)))
		return LOOKS_FOREIGN;
	if (walk_try(w, host, w->buf, geom_cluster_size(g), &empty, &ignored) < 0 || empty)
		return LOOKS_EMPTY;
	for (uint32_t i = 0; i < geom_l2_entries(g); i++) {
		struct l2_entry x = l2_entry_at(g, w->buf, i);
		uint64_t len = x.packed ? x.host_len : geom_cluster_size(g);

		if (!x.raw && !x.bitmap)
			continue;
		if (l2_entry_problems(g, &x) ||
		    (!g->data_file && x.has_host && !walk_in_file(w, x.host, len)))
			return LOOKS_FOREIGN;
		used++;
	}
	return used ? LOOKS_SOUND : LOOKS_EMPTY;
}

bool walk_leads_to_tables(struct walk *w, uint64_t l1_off, uint64_t l1_nr)
{
	uint64_t to[FOLLOWED_MAX], end = MIN(l1_off + l1_nr * 8, w->end);
	size_t nr = 0, looks[LOOKS_FOREIGN + 1] = { 0 };
	struct err ignored = ERR_INIT;
	bool empty;

	for (uint64_t at = l1_off, n; at < end && nr < FOLLOWED_MAX; at += n) {
		n = MIN(end - at, WALK_BUFFER);
		w->disown_read += n;
		if (w->disown_read > FOLLOWED_BYTES ||
		    walk_try(w, at, w->buf, (size_t)n, &empty, &ignored) < 0)
			return true; /* nothing is known */
		for (uint64_t i = 0; !empty && i + 8 <= n && nr < FOLLOWED_MAX; i += 8)
			if (be64_get(w->buf + i))
				to[nr++] = be64_get(w->buf + i) & ENTRY_OFFSET_MASK;
	}
	for (size_t i = 0; i < nr; i++) {
		w->disown_read += geom_cluster_size(w->src.geom);
		if (w->disown_read > FOLLOWED_BYTES)
			return true;
		looks[to[i] && !geom_in_cluster(w->src.geom, to[i]) ? table_looks(w, to[i])
								    : LOOKS_FOREIGN]++;
	}
	/* An L2 table may map nothing where the entries of an L1 table would be, and something behind. */
	if (!nr)
		return table_looks(w, l1_off) != LOOKS_SOUND;
	return looks[LOOKS_SOUND] && looks[LOOKS_FOREIGN] * 4 <= nr;
}

static int tree_disown(struct walk *w, struct walk_tree *t, struct err *e)
{
	struct walk_fault f = { .what = WALK_L1_TABLE,
				.bad = WALK_BAD_OVERLAP,
				.owner = t->owner,
				.value = t->l1_off,
				.host = t->l1_off };

	if (t->active)
		w->disk_disowned = true; /* there is no disk without it: whoever repairs decides */
	if (t->owner.kind != WALK_SNAPSHOT)
		return 0;
	if (t->owner.idx < w->snapshot_nr)
		w->snapshots[t->owner.idx].followed = false;
	t->l1_nr = 0;
	return walk_report(w, &f, e);
}

static bool is_same_table(const struct walk *w, size_t i, size_t k)
{
	return k < w->tree_nr && w->trees[k].l1_off == w->trees[i].l1_off;
}

/* The tables that were hit, and lead to no tables. */
static int trees_judge(struct walk *w, const bool *hit, struct err *e)
{
	size_t next;

	for (size_t i = 0; i < w->tree_nr; i = next) {
		for (next = i + 1; is_same_table(w, i, next);)
			next++;
		const struct walk_tree *t = &w->trees[next - 1]; /* the longest */

		if (!hit[i] || walk_leads_to_tables(w, t->l1_off, walk_l1_needed(w, t)))
			continue;
		for (size_t k = i; k < next; k++)
			if (tree_disown(w, &w->trees[k], e) < 0)
				return -1;
	}
	return 0;
}

int walk_l1_disown(struct walk *w, struct err *e)
{
	uint64_t read_to = 0;
	bool *hit;
	int ret = 0;

	w->disk_disowned = false;
	if (w->tree_nr < 2)
		return 0;
	hit = calloc(w->tree_nr, sizeof *hit);
	if (!hit)
		return err_nomem(e);
	for (size_t i = 0; i < w->tree_nr && ret == 0; i++) {
		ret = watch_stopped(w->watch, e);
		if (!is_same_table(w, i, i + 1))
			hits_mark(w, &w->trees[i], hit, &read_to);
	}
	if (ret == 0)
		ret = trees_judge(w, hit, e);
	free(hit);
	return ret;
}
