/* L1 tables: the L2 tables that they claim, and their COPIED flags. */
#include "ops/check_internal.h"

#include "base/bytes.h"
#include "format/l1_entry.h"

static struct finding l1_finding(const struct check *c, const struct walk_l1_part *p,
				 uint32_t i, enum problem_kind kind, uint64_t host)
{
	unsigned span = geom_l2_span_bits(c->geom);
	uint64_t idx = (uint64_t)p->first + i;
	struct finding f = {
		.kind = kind,
		.has_host = true,
		.host = host,
		.has_place = true,
		.place = p->place + i * UINT64_C(8),
		.has_value = true,
		.value = be64_get(p->bytes + i * 8),
		.idx = idx,
		.guest = idx << span,
		.guest_len = UINT64_C(1) << span,
	};

	finding_set_owner(c, &f, p->owner);
	return f;
}

/* The same L2 table may serve many L1 tables; any other second use of its cluster is wrong.
 */
static int l2_claim(struct check *c, const struct walk_l1_part *p, uint32_t i,
		    uint64_t host, struct err *e)
{
	uint64_t cluster = check_cluster(c, host);

	if (counts_add(&c->expected, cluster, 1, p->times, e) < 0)
		return -1;
	if (!bit_at(c->metadata, cluster)) {
		bit_set(c->metadata, cluster);
		return 0;
	}
	enum walk_what other = check_claimed_by(c, cluster);

	if (other == WALK_L2_TABLE)
		return 0;
	struct finding f = l1_finding(c, p, i, PROBLEM_METADATA_OVERLAP, host);

	f.text = check_what_text(other);
	check_lost_overlap(c, WALK_L2_TABLE, other);
	check_found(c, &f);
	return check_cross(c, cluster, WALK_L2_TABLE, e);
}

/* COPIED says: this table has one owner. Only the active disk's flags mean anything (5.5).
 */
static void copied_judge(struct check *c, const struct walk_l1_part *p, uint32_t i,
			 uint64_t host)
{
	uint64_t cluster = check_cluster(c, host);
	bool copied = be64_get(p->bytes + i * 8) & ENTRY_COPIED;

	if (p->owner.kind != WALK_ACTIVE || copied == (c->stored.low[cluster] == 1) ||
	    check_count_unknown(c, cluster))
		return;
	struct finding f = l1_finding(c, p, i, PROBLEM_COPIED_L2_TABLE, host);

	f.refcount = check_stored(c, cluster);
	check_found(c, &f);
}

/* A claim to be the only owner of nothing, or of a table out of the file, is wrong in itself:
 * nothing is counted there. (The walk reports what leads out of the file.) Claims of snapshots mean
 * nothing, but one without a table is taken for an entry by others, which leads to the header. */
static void outside_judge(struct check *c, const struct walk_l1_part *p, uint32_t i,
			  uint64_t host)
{
	bool copied = be64_get(p->bytes + i * 8) & ENTRY_COPIED;

	if (!copied || geom_in_cluster(c->geom, host) || (host && p->owner.kind != WALK_ACTIVE))
		return;
	struct finding f = l1_finding(
		c, p, i, host ? PROBLEM_COPIED_L2_TABLE : PROBLEM_COPIED_NO_L2_TABLE, host);

	f.has_host = host;
	check_found(c, &f);
}

int check_on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct check *c = arg;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++) {
		uint64_t raw = be64_get(p->bytes + i * 8);

		if (!raw)
			continue;
		if (!walk_l2_followed(c->walk, raw, &host)) {
			outside_judge(c, p, i, host);
			continue;
		}
		if (l2_claim(c, p, i, host, e) < 0)
			return -1;
		copied_judge(c, p, i, host);
	}
	return 0;
}
