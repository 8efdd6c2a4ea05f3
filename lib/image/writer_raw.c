/* Raw data files (10.1): who reads one by itself sees what the guest sees, at any time. Marks for zeros
 * would say something else from the moment data is written below them until the mark is gone. So an L2
 * table has none by the time something that it maps changes: then the data file alone decides. */
#include "base/align.h"
#include "image/writer_internal.h"

#define WORDS_MAX 128

/* What a table does not say yet. */
struct settle {
	struct image_writer *w;
	struct hole_map holes;
	uint64_t zero_from, zero_to; /* bytes of the data file that are to read as zeros */
	struct map_words words[WORDS_MAX];
	uint32_t first, nr; /* entries that get them */
	bool changed;
};

static int zeros_put(struct settle *s, struct err *e)
{
	struct file *f = s->w->img->data_file;
	uint64_t end = MIN(s->zero_to, s->w->disk->size), n;
	bool is_data;

	for (uint64_t at = s->zero_from; at < end; at += n) {
		hole_map_next(&s->holes, at, end - at, &is_data, &n);
		if (is_data && file_zero(f, at, n, FILE_ZERO_KEEP, e) < 0)
			return file_failed_as_data(f, e);
	}
	if (end > s->zero_from && file_size(f) < end && file_truncate(f, end, e) < 0)
		return file_failed_as_data(f, e);
	s->zero_from = s->zero_to = 0;
	return 0;
}

static int zeros_add(struct settle *s, uint64_t from, uint64_t to, struct err *e)
{
	if (s->zero_to != from) {
		if (zeros_put(s, e) < 0)
			return -1;
		s->zero_from = from;
	}
	s->zero_to = to;
	return 0;
}

static int words_put(struct settle *s, struct err *e)
{
	uint32_t nr = s->nr;

	s->changed |= nr != 0;
	s->nr = 0;
	return nr ? map_entries_set(&s->w->disk->map, s->w->l2_off, s->first, s->words, nr, e) : 0;
}

static int words_add(struct settle *s, uint32_t idx, struct map_words words, struct err *e)
{
	if ((s->nr == WORDS_MAX || s->first + s->nr != idx) && words_put(s, e) < 0)
		return -1;
	if (!s->nr)
		s->first = idx;
	s->words[s->nr++] = words;
	return 0;
}

static bool says_nothing_more(const struct geom *g, const struct l2_entry *x)
{
	return x->has_host && !x->zero && (!g->subclusters || x->bitmap == L2_ALL_ALLOCATED);
}

static int subclusters_settle(struct settle *s, uint64_t guest, const struct l2_entry *x, struct err *e)
{
	const struct geom *g = writer_geom(s->w);
	uint64_t size = geom_subcluster_size(g);

	for (unsigned i = 0; i < SUBCLUSTERS; i++, guest += size)
		if (l2_entry_subcluster_kind(g, x, i) != CLUSTER_DATA &&
		    zeros_add(s, guest, guest + size, e) < 0)
			return -1;
	return 0;
}

static int entry_settle(struct settle *s, uint64_t guest, struct err *e)
{
	const struct geom *g = writer_geom(s->w);
	struct map_words plain = { guest | ENTRY_COPIED, g->subclusters ? L2_ALL_ALLOCATED : 0 };
	struct l2_entry x;

	if (writer_entry(s->w, guest, &x, e) < 0)
		return -1;
	if (says_nothing_more(g, &x))
		return 0;
	if (g->subclusters ? subclusters_settle(s, guest, &x, e) < 0
			   : zeros_add(s, guest, guest + geom_cluster_size(g), e) < 0)
		return -1;
	return words_add(s, geom_l2_index(g, guest), plain, e);
}

int writer_raw_settle(struct image_writer *w, uint64_t guest, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t at = align_down(guest, UINT64_C(1) << geom_l2_span_bits(g));
	uint64_t end = MIN(at + (UINT64_C(1) << geom_l2_span_bits(g)), w->disk->size);
	struct settle s = { .w = w, .holes = hole_map_over(w->img->data_file) };

	for (; at < end; at += geom_cluster_size(g))
		if (entry_settle(&s, at, e) < 0)
			return -1;
	if (zeros_put(&s, e) < 0 || words_put(&s, e) < 0)
		return -1;
	/* Data that has its place, and is not there yet, has had it all along. */
	return s.changed ? txn_commit(w->txn, e) : 0;
}
