/* L2 tables: what they map is counted, their entries are judged. */
#include "ops/check_l2_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/align.h"

static inline void statistics(struct check_table *t, const struct l2_run *r)
{
	struct check_result *s = t->check->result;

	s->allocated_clusters += r->nr * t->at->active_times;
	if (t->expected && r->host != t->expected)
		s->fragmented_clusters += t->at->active_times;
	t->expected = r->host + r->nr * geom_cluster_size(t->check->geom);
}

/* Standard clusters in the data file: each belongs where the guest has it (10). */
static void data_file_run(struct check_table *t, const struct l2_run *r)
{
	uint64_t size = geom_cluster_size(t->check->geom);
	uint64_t guest = t->guest + r->idx * size;

	for (uint32_t i = 0; r->host != guest && i < r->nr; i++)
		check_l2_found(t, r->idx + i, PROBLEM_DATA_FILE_OFFSET, r->host + i * size);
	check_data_file_needs(t->check, t->at->bytes, r);
	check_l2_copied(t, r, r->nr);
}

static int plain_run(struct check_table *t, const struct l2_run *r, struct err *e)
{
	struct check *c = t->check;
	uint64_t size = geom_cluster_size(c->geom), first = check_cluster(c, r->host);
	uint64_t room = first < c->clusters ? c->clusters - first : 0;
	uint32_t n = (uint32_t)MIN(r->nr, room);

	statistics(t, r);
	if (c->geom->data_file) {
		data_file_run(t, r);
		return 0;
	}
	for (uint32_t i = n; i < r->nr; i++)
		check_l2_outside(t, r->idx + i, r->host + i * size, r->copied);
	if (counts_add(&c->expected, first, n, t->at->times, e) < 0)
		return -1;
	if (check_any_metadata(c, first, n))
		for (uint32_t i = 0; i < n; i++)
			if (check_l2_cross(t, r->idx + i, first + i, 1, e) < 0)
				return -1;
	check_l2_copied(t, r, n);
	return 0;
}

/* A run of one cluster about which there is nothing to say: the rule in a fragmented image,
 * where setting out for longer runs would cost more than the cluster itself. */
static inline bool lone_cluster(struct check_table *t, const struct l2_run *r)
{
	struct check *c = t->check;
	uint64_t i = check_cluster(c, r->host);

	if (r->nr != 1 || c->geom->data_file || i >= c->clusters ||
	    bit_at(c->metadata, i) ||
	    (t->at->active_times && (c->stored.low[i] == 1) != r->copied) ||
	    !counts_add_small(&c->expected, i, t->at->times))
		return false;
	statistics(t, r);
	return true;
}

static int packed_entry(struct check_table *t, uint32_t idx, const struct l2_entry *x,
			struct err *e)
{
	struct check *c = t->check;
	uint64_t first = check_cluster(c, x->host);
	uint64_t nr = check_cluster(c, x->host + x->host_len - 1) - first + 1;

	if (c->geom->data_file)
		return 0; /* forbidden, and said so */
	c->result->allocated_clusters += t->at->active_times;
	c->result->compressed_clusters += t->at->active_times;
	c->result->fragmented_clusters += t->at->active_times;
	if (x->host < geom_cluster_size(c->geom))
		return 0; /* it can't be, and said so */
	if (!walk_in_file(c->walk, x->host, x->host_len)) {
		check_needs(c, x->host);
		if (x->host <= HOST_OFFSET_MAX)
			check_l2_found(t, idx, PROBLEM_COMPRESSED_OUT_OF_FILE, x->host);
		return 0;
	}
	if (counts_add(&c->expected, first, nr, t->at->times, e) < 0)
		return -1;
	return check_any_metadata(c, first, nr) ? check_l2_cross(t, idx, first, nr, e) : 0;
}

/* The clusters that an unaligned entry lies across are kept from looking free. */
static int unaligned_entry(struct check_table *t, uint32_t idx, const struct l2_entry *x,
			   struct err *e)
{
	struct check *c = t->check;
	bool has_data = c->geom->subclusters ? x->bitmap & L2_ALL_ALLOCATED : !x->zero;
	struct l2_run r = { .idx = idx, .nr = 1, .host = x->host };

	statistics(t, &r);
	check_l2_found(t, idx,
		       has_data ? PROBLEM_L2_ENTRY_UNALIGNED
				: PROBLEM_L2_ENTRY_UNALIGNED_ZERO,
		       x->host);
	if (c->geom->data_file ||
	    !walk_in_file(c->walk, x->host, geom_cluster_size(c->geom)))
		return 0;
	return counts_add(&c->expected, check_cluster(c, x->host), 2, t->at->times, e);
}

static const struct {
	enum l2_problem bit;
	enum problem_kind kind;
	bool active_only; /* has no meaning in tables of snapshots alone */
} entry_problems[] = {
	{ L2_BAD_RESERVED, PROBLEM_L2_ENTRY_RESERVED, false },
	{ L2_BAD_ZERO_V2, PROBLEM_L2_ENTRY_ZERO_V2, false },
	{ L2_BAD_COPIED_PACKED, PROBLEM_COPIED_COMPRESSED, false },
	{ L2_BAD_COPIED_NO_HOST, PROBLEM_COPIED_UNALLOCATED, true },
	{ L2_BAD_BOTH_BITS, PROBLEM_SUBCLUSTER_BOTH, false },
	{ L2_BAD_BITS_NO_HOST, PROBLEM_SUBCLUSTER_NO_CLUSTER, false },
	{ L2_BAD_BITMAP_PACKED, PROBLEM_COMPRESSED_BITMAP, false },
	{ L2_BAD_PACKED_DATA_FILE, PROBLEM_COMPRESSED_DATA_FILE, false },
	{ L2_BAD_PACKED_OFFSET, PROBLEM_COMPRESSED_OFFSET, false },
};

/* Two entries that share a table on purpose would have it counted twice (4.3). */
static void twice_judge(const struct check_table *t)
{
	struct check *c = t->check;
	uint64_t cluster = check_cluster(c, t->at->host);
	char text[64];
	struct finding f = {
		.kind = PROBLEM_L2_TABLE_TWICE,
		.has_host = true,
		.host = t->at->host,
		.guest = t->guest,
		.guest_len = UINT64_C(1) << geom_l2_span_bits(c->geom),
		.text = text,
	};

	if (check_count_unknown(c, cluster) ||
	    check_stored(c, cluster) >= counts_get(&c->expected, cluster))
		return;
	snprintf(text, sizeof text, "L1 entries %" PRIu32 " and %" PRIu32, t->at->l1_idx,
		 t->at->l1_again);
	finding_set_owner(c, &f, t->at->owner);
	check_found(c, &f);
}

/* Takes back what the entries before `end` were counted for. */
static void uncount(struct check_table *t, uint32_t end)
{
	struct check *c = t->check;
	struct l2_run r;

	for (uint32_t from = 0;
	     l2_run_next(&c->scan, t->at->bytes, from, &r) && r.idx < end;
	     from = r.idx + r.nr) {
		struct l2_entry x = l2_entry_at(c->geom, t->at->bytes, r.idx);
		uint64_t len = x.packed ? x.host_len : r.nr * geom_cluster_size(c->geom);
		uint64_t first = check_cluster(c, x.host);

		if (!c->geom->data_file &&
		    (!x.packed || (x.host >= geom_cluster_size(c->geom) &&
				   walk_in_file(c->walk, x.host, x.host_len))))
			counts_take(&c->expected, first,
				    check_cluster(c, x.host + len - 1) - first + 1,
				    t->at->times);
	}
	c->result->allocated_clusters = t->before.allocated;
	c->result->fragmented_clusters = t->before.fragmented;
	c->result->compressed_clusters = t->before.compressed;
}

/* Whether the table is none at all: asked once, at its first entry that is wrong. */
static int foreign_judge(struct check_table *t, uint32_t idx, bool *foreign, struct err *e)
{
	*foreign = false;
	if (t->asked)
		return 0;
	t->asked = true;
	if (check_foreign_table(t->check, t->at, foreign, e) < 0)
		return -1;
	if (*foreign)
		uncount(t, idx);
	return 0;
}

/* 1: nothing in this table counts. */
static int odd_entry(struct check_table *t, uint32_t idx, struct err *e)
{
	const struct geom *g = t->check->geom;
	struct l2_entry x = l2_entry_at(g, t->at->bytes, idx);
	unsigned bad = l2_entry_problems(g, &x);
	bool foreign = false;

	if (bad || check_cluster(t->check, x.host) >= t->check->clusters)
		if (foreign_judge(t, idx, &foreign, e) < 0)
			return -1;
	if (foreign)
		return 1;
	for (size_t i = 0; i < sizeof entry_problems / sizeof entry_problems[0]; i++)
		if ((bad & entry_problems[i].bit) &&
		    (t->at->active_times || !entry_problems[i].active_only))
			check_l2_found(t, idx, entry_problems[i].kind, x.host);
	if (x.packed)
		return packed_entry(t, idx, &x, e);
	if (bad & L2_BAD_ALIGNMENT)
		return unaligned_entry(t, idx, &x, e);
	if (!x.has_host)
		return 0;
	struct l2_run r = { .idx = idx,
			    .nr = 1,
			    .kind = L2_RUN_PLAIN,
			    .copied = x.copied,
			    .host = x.host };

	return plain_run(t, &r, e);
}

/* Entries that are well formed, and may lead out of the file. 1: nothing in this table
 * counts. */
static int sound_run(struct check_table *t, const struct l2_run *r, struct err *e)
{
	bool foreign = false;

	if (check_cluster(t->check, r->host) + r->nr > t->check->clusters &&
	    foreign_judge(t, r->idx, &foreign, e) < 0)
		return -1;
	return foreign ? 1 : plain_run(t, r, e);
}

int check_on_l2_table(void *arg, const struct walk_l2_table *at, struct err *e)
{
	struct check *c = arg;
	struct check_table t = { .check = c,
				 .at = at,
				 .guest = (uint64_t)at->l1_idx
					  << geom_l2_span_bits(c->geom) };
	struct l2_run r;
	int ret;

	t.before.allocated = c->result->allocated_clusters;
	t.before.fragmented = c->result->fragmented_clusters;
	t.before.compressed = c->result->compressed_clusters;
	if (at->l1_again)
		twice_judge(&t);
	for (uint32_t from = 0; l2_run_next(&c->scan, at->bytes, from, &r);
	     from = r.idx + r.nr) {
		if (r.kind == L2_RUN_ODD)
			ret = odd_entry(&t, r.idx, e);
		else
			ret = lone_cluster(&t, &r) ? 0 : sound_run(&t, &r, e);
		if (ret)
			return ret < 0 ? -1 : 0;
	}
	return 0;
}
