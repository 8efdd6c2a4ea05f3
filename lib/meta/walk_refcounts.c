/* Refcount table and blocks. */
#include "meta/walk_internal.h"

#include "base/align.h"
#include "base/bytes.h"
#include "format/refcount_table.h"

/* One table entry. Counts of clusters behind the file concern nobody, so blocks that hold
 * only such are claimed but not read: a table may claim a million of them. */
static int block_walk(struct walk *w, uint64_t idx, uint64_t place, uint64_t raw,
		      struct err *e)
{
	const struct geom *g = w->src.geom;
	struct refcount_table_entry x = refcount_table_entry_decode(raw);
	uint64_t clusters = geom_clusters(g, file_size(w->src.file));
	struct walk_refcount_block b = { .first = idx << geom_refcount_block_bits(g),
					 .host = x.block_off };
	struct walk_area a = { .what = WALK_REFCOUNT_BLOCK,
			       .host = x.block_off,
			       .len = geom_cluster_size(g),
			       .times = 1 };
	struct walk_fault f = { .what = WALK_REFCOUNT_BLOCK,
				.place = place,
				.value = raw,
				.host = x.block_off };
	bool usable = x.block_off, empty;

	if (x.reserved) {
		f.bad = WALK_BAD_RESERVED;
		if (walk_report(w, &f, e) < 0)
			return -1;
	}
	if (x.block_off && geom_in_cluster(g, x.block_off)) {
		f.bad = WALK_BAD_ALIGNMENT;
		usable = false;
		if (walk_report(w, &f, e) < 0)
			return -1;
	}
	if (usable && walk_claim(w, &a, &f, &usable, e) < 0)
		return -1;
	if (!usable || b.first >= clusters || !w->ops->refcount_block)
		return 0;
	if (walk_read(w, x.block_off, w->buf, a.len, &f, &empty, e) < 0)
		return -1;
	b.bytes = w->buf;
	return empty ? 0 : w->ops->refcount_block(w->arg, &b, e);
}

/* Lets the medium fetch the blocks that entries of the table lead to. */
static void ask_ahead(struct walk *w, const uint8_t *entries, uint64_t nr)
{
	uint64_t size = geom_cluster_size(w->src.geom), end = file_size(w->src.file);

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t off = refcount_table_entry_decode(be64_get(entries + i * 8)).block_off;

		if (off && off < end)
			file_hint_will_need(w->src.file, off, size);
	}
}

#define AHEAD	   32 /* blocks */
#define TABLE_PART 512 /* entries at a time; w->buf is taken by the blocks */

static int table_walk(struct walk *w, uint64_t off, uint64_t nr, struct err *e)
{
	struct walk_fault f = { .what = WALK_REFCOUNT_TABLE };
	uint8_t part[TABLE_PART * 8];
	bool empty;

	for (uint64_t i = 0; i < nr; i += TABLE_PART) {
		uint64_t n = MIN(nr - i, TABLE_PART);

		f.place = off + i * 8;
		f.value = n;
		if (walk_read(w, f.place, part, n * 8, &f, &empty, e) < 0)
			return -1;
		for (uint64_t k = 0; !empty && k < n; k++) {
			uint64_t raw = be64_get(part + k * 8);

			if (k % AHEAD == 0)
				ask_ahead(w, part + k * 8, MIN(n - k, AHEAD));
			if (raw && block_walk(w, i + k, f.place + k * 8, raw, e) < 0)
				return -1;
		}
	}
	return 0;
}

int walk_refcounts(struct walk *w, struct err *e)
{
	const struct geom *g = w->src.geom;
	uint64_t off = w->src.header->refcount_table_off;
	uint64_t len = (uint64_t)w->src.header->refcount_table_clusters << g->cluster_bits;
	struct walk_area a = {
		.what = WALK_REFCOUNT_TABLE, .host = off, .len = len, .times = 1
	};
	struct walk_fault f = { .what = WALK_REFCOUNT_TABLE,
				.bad = WALK_BAD_EMPTY,
				.value = off,
				.host = off };
	bool in_file;

	if (!len)
		return walk_report(w, &f, e);
	if (walk_claim(w, &a, &f, &in_file, e) < 0)
		return -1;
	return table_walk(w, off, len / 8, e);
}
