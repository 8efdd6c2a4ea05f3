/* What is said about entries of L2 tables, and about the clusters that they lead to. */
#include "ops/check_l2_internal.h"

static struct finding entry_finding(const struct check_table *t, uint32_t idx,
				    enum problem_kind kind, uint64_t host)
{
	const struct geom *g = t->check->geom;
	uint64_t within = (uint64_t)idx << g->l2_entry_bits;
	struct finding f = {
		.kind = kind,
		.host = host,
		.has_host = host,
		.has_place = true,
		.place = t->at->host + within,
		.has_value = true,
		.value = be64_get(t->at->bytes + within),
		.idx = idx,
		.guest = t->guest + ((uint64_t)idx << g->cluster_bits),
		.guest_len = geom_cluster_size(g),
	};

	finding_set_owner(t->check, &f, t->at->owner);
	return f;
}

void check_l2_found(const struct check_table *t, uint32_t idx, enum problem_kind kind,
		    uint64_t host)
{
	struct finding f = entry_finding(t, idx, kind, host);

	check_found(t->check, &f);
}

int check_l2_cross(struct check_table *t, uint32_t idx, uint64_t first, uint64_t nr,
		   struct err *e)
{
	struct check *c = t->check;

	for (uint64_t i = first; i < first + nr && i < c->clusters; i++) {
		if (!bit_at(c->metadata, i))
			continue;
		struct finding f = entry_finding(t, idx, PROBLEM_CROSS_LINK,
						 i << c->geom->cluster_bits);

		f.text = check_what_text(check_claimed_by(c, i));
		check_found(c, &f);
		if (check_cross(c, i, WALK_GUEST_DATA, e) < 0)
			return -1;
	}
	return 0;
}

/* Whether all of n stored counts are 1 (claim), or none is. */
static bool counts_agree(const uint8_t *low, uint32_t n, bool claim)
{
	uint8_t bad = 0;

	for (uint32_t i = 0; i < n; i++)
		bad |= (uint8_t)((low[i] == 1) != claim);
	return !bad;
}

void check_l2_copied(struct check_table *t, const struct l2_run *r, uint32_t n)
{
	struct check *c = t->check;
	uint64_t first = check_cluster(c, r->host), size = geom_cluster_size(c->geom);

	if (!t->at->active_times)
		return;
	if (c->geom->data_file) {
		for (uint32_t i = 0; !r->copied && i < n; i++)
			check_l2_found(t, r->idx + i, PROBLEM_COPIED_DATA,
				       r->host + i * size);
		return;
	}
	if (counts_agree(c->stored.low + first, n, r->copied))
		return;
	/* Where counts are lost there is one for every cluster: what they share is put down
	 * once. */
	struct finding f = entry_finding(t, r->idx, PROBLEM_COPIED_DATA, r->host);
	const uint64_t place = f.place, guest = f.guest;

	for (uint32_t i = 0; i < n; i++) {
		if ((c->stored.low[first + i] == 1) == r->copied ||
		    check_count_unknown(c, first + i))
			continue;
		f.host = r->host + i * size;
		f.place = place + ((uint64_t)i << c->geom->l2_entry_bits);
		f.value = be64_get(t->at->bytes + (f.place - t->at->host));
		f.idx = r->idx + i;
		f.guest = guest + i * size;
		f.refcount = check_stored(c, first + i);
		check_found(c, &f);
	}
}

/* Nothing is counted behind the end, so a claim to be the only owner is wrong in itself. */
void check_l2_outside(const struct check_table *t, uint32_t idx, uint64_t host, bool copied)
{
	check_needs(t->check, host);
	check_l2_found(t, idx, PROBLEM_L2_ENTRY_OUT_OF_FILE, host);
	if (copied && t->at->active_times)
		check_l2_found(t, idx, PROBLEM_COPIED_DATA, host);
}
