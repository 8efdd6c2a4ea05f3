/* One L2 table: what becomes of entries that are wrong by themselves (14.2). */
#include "ops/repair_l2_internal.h"

#include <stdlib.h>

#include "base/align.h"

void entry_told(const struct repair_entry *n, enum problem_kind kind, const char *how)
{
	const struct check *c = &n->repair->check;
	struct finding f = { .kind = kind,
			     .host = n->x.host,
			     .has_host = n->x.host,
			     .place = n->at->host + ((uint64_t)n->idx << c->geom->l2_entry_bits),
			     .has_place = true,
			     .value = n->x.raw,
			     .has_value = true,
			     .idx = n->idx,
			     .guest = n->guest,
			     .guest_len = geom_cluster_size(c->geom) };

	finding_set_owner(c, &f, n->at->owner);
	repair_fixed(n->repair, &f, how);
}

/* What cannot be had reads as zeros from now on, and never as what a backing file had there before;
 * version 2 has no way to say that, but without a backing file there is no need to. */
const char *entry_dropped(const struct repair_entry *n)
{
	return n->repair->geom.version < 3 && n->repair->header.backing_name.n
		       ? "the entry is dropped: what the backing file has is read there"
		       : "the entry becomes zeros";
}

void entry_drop(struct repair_entry *n)
{
	const struct geom *g = &n->repair->geom;

	n->raw = g->version >= 3 && !g->subclusters ? ENTRY_ZERO : 0;
	if (!g->subclusters)
		return;
	n->bitmap = n->x.packed ? L2_ALL_ZERO
				: (n->bitmap & L2_ALL_ZERO) | (n->bitmap << SUBCLUSTERS);
}

/* The same where nothing is lost: there were no data behind it. */
static void forget_host(struct repair_entry *n)
{
	const struct geom *g = &n->repair->geom;

	n->raw = n->x.zero && g->version >= 3 ? ENTRY_ZERO : 0;
}

/* Whether the count of a cluster says that this reference is one of those it was made for: it had
 * no other than the check found, with the one that was damaged. */
bool repair_is_counted(struct repair *r, uint64_t host)
{
	struct check *c = &r->check;
	uint64_t cluster = check_cluster(c, host);

	return cluster > 0 && cluster < c->clusters && !bit_at(c->metadata, cluster) &&
	       !check_count_unknown(c, cluster) &&
	       check_stored(c, cluster) == counts_get(&c->expected, cluster);
}

/* In version 2 the flag was never set on purpose: the data behind it stays, and where there are none
 * there never were. */
static void zero_v2_repair(struct repair_entry *n)
{
	bool bare = !n->x.has_host && n->repair->header.backing_name.n;

	entry_told(n, PROBLEM_L2_ENTRY_ZERO_V2,
	     bare ? "the flag is cleared: what the backing file has is read there" : NULL);
	n->raw &= ~ENTRY_ZERO;
}

static void bits_repair(struct repair_entry *n, unsigned bad)
{
	if (bad & L2_BAD_RESERVED) {
		entry_told(n, PROBLEM_L2_ENTRY_RESERVED, NULL);
		n->raw &= ~(L2_RESERVED_MASK |
			    (n->repair->geom.subclusters ? ENTRY_ZERO : UINT64_C(0)));
	}
	if (bad & L2_BAD_ZERO_V2)
		zero_v2_repair(n);
	if (bad & L2_BAD_BOTH_BITS) {
		entry_told(n, PROBLEM_SUBCLUSTER_BOTH, NULL);
		n->bitmap &= ~(n->bitmap << SUBCLUSTERS);
	}
	if (bad & L2_BAD_BITS_NO_HOST) {
		entry_told(n, PROBLEM_SUBCLUSTER_NO_CLUSTER,
		     n->repair->geom.data_file ? "the entry leads to its place" : NULL);
		if (n->repair->geom.data_file)
			n->raw |= n->guest | ENTRY_COPIED; /* each cluster has its place (10) */
		else
			n->bitmap &= ~L2_ALL_ALLOCATED;
	}
	if ((bad & L2_BAD_COPIED_NO_HOST) && n->at->active_times) {
		entry_told(n, PROBLEM_COPIED_UNALLOCATED, NULL);
		n->raw &= ~ENTRY_COPIED;
	}
}

/* Whether guest data is to be found where the entry leads. */
static bool has_data(const struct repair_entry *n)
{
	return n->repair->geom.subclusters ? n->bitmap & L2_ALL_ALLOCATED
					   : !(n->raw & ENTRY_ZERO);
}

static void place_repair(struct repair_entry *n)
{
	const struct check *c = &n->repair->check;
	uint64_t aligned = align_down(n->x.host, geom_cluster_size(c->geom));
	bool outside = check_cluster(c, n->x.host) >= c->clusters;

	if (geom_in_cluster(c->geom, n->x.host)) {
		/* The check counts for it what it lies across. */
		bool found = has_data(n) && !outside &&
			     (repair_is_orphan(n->repair, aligned, n->at->times) ||
			      repair_is_counted(n->repair, aligned));

		entry_told(n, has_data(n) ? PROBLEM_L2_ENTRY_UNALIGNED : PROBLEM_L2_ENTRY_UNALIGNED_ZERO,
		     found ? "the low bits are cleared" : has_data(n) ? entry_dropped(n) : "the entry becomes zeros");
		if (found)
			n->raw = (n->raw & ~ENTRY_OFFSET_MASK) | aligned;
		else if (has_data(n))
			entry_drop(n);
		else
			forget_host(n);
	} else if (outside) {
		entry_told(n, PROBLEM_L2_ENTRY_OUT_OF_FILE, has_data(n) ? entry_dropped(n) : NULL);
		if (has_data(n))
			entry_drop(n);
		else
			forget_host(n);
	}
}

/* Each cluster belongs where the guest has it (10). */
static void data_file_place(struct repair_entry *n)
{
	if (n->x.host == n->guest)
		return;
	entry_told(n, PROBLEM_DATA_FILE_OFFSET, NULL);
	n->raw = (n->raw & ~ENTRY_OFFSET_MASK) | n->guest | ENTRY_COPIED;
}

static void entry_repair(struct repair_entry *n)
{
	const struct geom *g = &n->repair->geom;
	unsigned bad = l2_entry_problems(g, &n->x);

	if (n->x.packed) {
		repair_packed_entry(n);
		return;
	}
	bits_repair(n, bad);
	if (!n->x.has_host)
		return;
	if (g->data_file)
		data_file_place(n);
	else
		place_repair(n);
}

/* Whether the guest reads the same as before: flags that say nothing of that, and no more, are
 * others. What no reader could follow counts as read otherwise, even if it is put right. */
static bool reads_alike(const struct repair_entry *n)
{
	const struct geom *g = &n->repair->geom;
	uint64_t idle = ENTRY_COPIED;

	if (!n->x.packed)
		idle |= L2_RESERVED_MASK | (g->subclusters ? ENTRY_ZERO : 0);

	return !((n->raw ^ n->x.raw) & ~idle) && (n->x.packed || n->bitmap == n->x.bitmap);
}

static bool needs_look(const struct check *c, const struct l2_run *r, uint64_t guest)
{
	if (r->kind == L2_RUN_ODD)
		return true;
	if (c->geom->data_file)
		return r->host != guest + ((uint64_t)r->idx << c->geom->cluster_bits);
	return check_cluster(c, r->host) + r->nr > c->clusters;
}

int repair_l2_table(struct repair *r, const struct walk_l2_table *t, uint8_t *copy,
		    struct err *e)
{
	const struct check *c = &r->check;
	const struct geom *g = c->geom;
	struct repair_table table = { .host = t->host, .bytes = copy };
	uint64_t guest = (uint64_t)t->l1_idx << geom_l2_span_bits(g);
	struct l2_run run;

	for (uint32_t from = 0; l2_run_next(&c->scan, t->bytes, from, &run);
	     from = run.idx + run.nr) {
		for (uint32_t i = run.idx; needs_look(c, &run, guest) && i < run.idx + run.nr; i++) {
			struct repair_entry n = { .repair = r,
					   .at = t,
					   .idx = i,
					   .guest = guest + ((uint64_t)i << g->cluster_bits),
					   .x = l2_entry_at(g, t->bytes, i) };
			size_t at = (size_t)i << g->l2_entry_bits;

			n.raw = n.x.raw;
			n.bitmap = n.x.bitmap;
			entry_repair(&n);
			if (t->active_times && !reads_alike(&n) && repair_disk_changes(r, e) < 0)
				return -1;
			repair_table_put(&table, at, n.raw);
			if (g->subclusters)
				repair_table_put(&table, at + 8, n.bitmap);
		}
	}
	return repair_table_store(r, &table, e);
}
