/* L2 tables of one pass: sorted, neighbours fetched together. */
#include "meta/walk_internal.h"

#include "base/align.h"
#include "base/bits.h"

static int table_give(struct walk *w, const struct walk_l2_ref *r, const uint8_t *bytes,
		      struct err *e)
{
	const struct walk_tree *t = &w->trees[r->tree];
	struct walk_l2_table x = {
		.host = r->host,
		.bytes = bytes,
		.times = r->times,
		.active_times = r->active_times,
		.owner = t->owner,
		.l1_idx = r->l1_idx,
		.l1_again = r->l1_again,
	};

	return w->ops->l2_table ? w->ops->l2_table(w->arg, &x, e) : 0;
}

/* Tables from refs[i] on that lie together closely enough to be read at once. */
static size_t batch_length(const struct walk *w, size_t i)
{
	uint64_t size = geom_cluster_size(w->src.geom), gap = 4096;
	size_t n = 1;

	while (i + n < w->ref_nr &&
	       w->refs[i + n].host - w->refs[i + n - 1].host <= size + gap &&
	       w->refs[i + n].host + size - w->refs[i].host <= w->buf_len)
		n++;
	return n;
}

/* The tables of a batch that is in w->buf. */
static int batch_give(struct walk *w, size_t i, size_t n, struct err *e)
{
	const struct walk_l2_ref *r = &w->refs[i];
	uint64_t size = geom_cluster_size(w->src.geom);

	for (size_t k = 0; k < n; k++) {
		const uint8_t *bytes = w->buf + (r[k].host - r->host);

		if ((n == 1 || !bytes_are_zero(bytes, size)) &&
		    table_give(w, &r[k], bytes, e) < 0)
			return -1;
	}
	return 0;
}

static int table_walk(struct walk *w, size_t i, struct err *e)
{
	const struct walk_l2_ref *r = &w->refs[i];
	uint64_t size = geom_cluster_size(w->src.geom), start = r->host;
	unsigned span = geom_l2_span_bits(w->src.geom);
	struct walk_fault f = { .what = WALK_L2_TABLE,
				.owner = w->trees[r->tree].owner,
				.place = start,
				.value = start,
				.guest = (uint64_t)r->l1_idx << span,
				.guest_len = UINT64_C(1) << span };
	bool empty;

	if (walk_read(w, start, w->buf, size, &f, &empty, e) < 0)
		return -1;
	return empty ? 0 : batch_give(w, i, 1, e);
}

/* A batch that can't be read is read table by table: a bad sector costs one of them. */
static int batch_walk(struct walk *w, size_t i, size_t n, struct err *e)
{
	const struct walk_l2_ref *r = &w->refs[i];
	uint64_t len = r[n - 1].host + geom_cluster_size(w->src.geom) - r->host;
	struct err why = ERR_INIT;
	bool empty;

	if (watch_stopped(w->watch, e) < 0)
		return -1;
	if (n > 1 && walk_try(w, r->host, w->buf, (size_t)len, &empty, &why) == 0)
		return empty ? 0 : batch_give(w, i, n, e);
	for (size_t k = 0; k < n; k++)
		if (table_walk(w, i + k, e) < 0)
			return -1;
	return 0;
}

/* Tables that are asked for before they are read. */
#define AHEAD_BYTES ((uint64_t)8 << 20)

/* Lets the medium fetch what follows refs[i], in host order, as far as AHEAD_BYTES go; what is
 * before refs[asked] has been asked for. Returns the new `asked`. */
static size_t ask_ahead(struct walk *w, size_t i, size_t asked)
{
	uint64_t size = geom_cluster_size(w->src.geom);
	size_t ahead = (size_t)MAX(AHEAD_BYTES / size, 4);
	size_t end = i + MIN(ahead, w->ref_nr - i);

	/* By halves: neighbours are asked for together. */
	if (asked > i + ahead / 2)
		return asked;
	for (size_t k = MAX(asked, i), n; k < end; k += n) {
		for (n = 1; k + n < end && w->refs[k + n].host == w->refs[k].host + n * size;)
			n++;
		file_hint_will_need(w->src.file, w->refs[k].host, n * size);
	}
	return end;
}

int walk_l2_tables(struct walk *w, struct err *e)
{
	size_t asked = 0;

	for (size_t i = 0, n; i < w->ref_nr; i += n) {
		asked = ask_ahead(w, i, asked);
		n = batch_length(w, i);
		watch_progress(w->watch, MIN(w->refs[i].host, file_size(w->src.file)),
			       file_size(w->src.file));
		if (batch_walk(w, i, n, e) < 0)
			return -1;
	}
	return 0;
}
