#include "fuzz.h"

#include "format/bitmap_entry.h"
#include "format/l2_entry.h"
#include "format/refcount_table.h"

/* One byte of geometry, one of flags, then entries of 16 bytes. */
static struct geom geom_from(uint8_t bits, uint8_t flags)
{
	struct geom g = { .cluster_bits = (uint8_t)(9 + bits % 13), .version = 3 };

	g.subclusters = (flags & 1) && g.cluster_bits >= 14;
	g.data_file = flags & 2;
	if ((flags & 4) && !g.subclusters && !g.data_file)
		g.version = 2;
	geom_derive(&g);
	return g;
}

static void words_agree(uint64_t raw)
{
	struct l1_entry l1 = l1_entry_decode(raw);
	struct refcount_table_entry rt = refcount_table_entry_decode(raw);
	struct bitmap_table_entry bt = bitmap_table_entry_decode(raw);

	AGREE(l1_entry_encode(&l1) == raw);
	AGREE(refcount_table_entry_encode(&rt) == raw);
	AGREE(bitmap_table_entry_encode(&bt) == raw);
}

static bool subclusters_agree(const struct geom *g, const struct l2_entry *x)
{
	enum cluster_kind kind = CLUSTER_ABSENT, next;
	unsigned i = 0;

	while (i < SUBCLUSTERS) {
		unsigned run = l2_entry_subcluster_run(g, x, i, &kind);

		AGREE(run >= 1 && run <= SUBCLUSTERS - i);
		for (unsigned k = i; k < i + run; k++)
			AGREE(l2_entry_subcluster_kind(g, x, k) == kind);
		i += run;
		if (i < SUBCLUSTERS) {
			next = l2_entry_subcluster_kind(g, x, i);
			AGREE(next != kind && next != CLUSTER_INVALID);
		}
	}
	return kind != CLUSTER_INVALID;
}

static void packed_agrees(const struct geom *g, const struct l2_entry *x)
{
	AGREE(x->host_len && x->host_len <= 2 * geom_cluster_size(g));
	if (x->host_len < geom_cluster_size(g) && x->host < geom_packed_offset_limit(g))
		AGREE(l2_entry_packed(g, x->host, x->host_len) == (x->raw & ~ENTRY_COPIED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct geom g;
	struct rd r = rd_over(data, size);

	g.cluster_bits = rd_u8(&r);
	g = geom_from(g.cluster_bits, rd_u8(&r));
	while (rd_left(&r) >= 16) {
		uint64_t raw = rd_be64(&r), bitmap = g.subclusters ? rd_be64(&r) : 0;
		struct l2_entry x = l2_entry_decode(&g, raw, bitmap), y;
		unsigned bad = l2_entry_problems(&g, &x);
		uint8_t table[32];
		bool readable;

		words_agree(raw);
		l2_entry_store(&g, table, 1, raw, bitmap);
		y = l2_entry_at(&g, table, 1);
		AGREE(y.raw == raw && y.bitmap == bitmap && y.host == x.host);
		if (x.packed)
			packed_agrees(&g, &x);
		else
			AGREE(x.host <= HOST_OFFSET_MAX && !(x.zero && g.subclusters));
		readable = g.subclusters ? subclusters_agree(&g, &x)
					 : l2_entry_kind(&g, &x) != CLUSTER_INVALID;
		/* what a reader refuses, a check reports */
		AGREE(readable || bad);
	}
	return 0;
}
