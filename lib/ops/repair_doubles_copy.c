/* Of the owners of one cluster: who keeps it, and a copy for each other. */
#include "ops/repair_doubles.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/align.h"

bool doubles_is_short(const struct doubles *d, uint64_t cluster)
{
	const struct check *c = &d->repair->check;
	uint64_t expected = counts_get(&c->expected, cluster);

	return expected > 1 &&
	       (d->all || check_count_unknown(c, cluster) ||
		c->stored.low[cluster] < MIN(expected, COUNTS_BIG) ||
		(d->tables && repair_has(d->repair, PROBLEM_L2_TABLE_TWICE)));
}

bool doubles_is_taken(const struct check *c, uint64_t cluster)
{
	return bit_at(c->metadata, cluster) && !bit_at(c->refcounts, cluster);
}

/* Whether who asks for a cluster has no right to it: data on metadata, or an L2 table where
 * another structure is. */
static bool is_others(struct doubles *d, uint64_t cluster)
{
	struct check *c = &d->repair->check;

	if (!doubles_is_taken(c, cluster))
		return false;
	return !d->tables || check_claimed_by(c, cluster) != WALK_L2_TABLE;
}

int doubles_ask(struct doubles *d, uint64_t cluster, uint64_t place, bool *elsewhere,
		struct err *e)
{
	struct check *c = &d->repair->check;
	uint64_t keeper = 0;

	*elsewhere = cluster < c->clusters && is_others(d, cluster);
	if (*elsewhere || cluster >= c->clusters || !doubles_is_short(d, cluster))
		return 0;
	if (places_find(&d->owners, cluster, 0, &keeper)) {
		*elsewhere = keeper != place + 1;
		return 0;
	}
	return places_add(&d->owners, cluster, 0, place + 1, e);
}

int doubles_copy(struct doubles *d, uint64_t host, uint64_t len, uint64_t place,
		 struct err *e)
{
	struct repair *r = d->repair;
	uint64_t size = geom_cluster_size(&r->geom), first = align_down(host, SECTOR_SIZE);
	uint64_t in_sector = host - first, to;
	size_t n = (size_t)align_up(in_sector + len, size);

	if (d->copies.nr >= d->copies_max) {
		if (!d->repair->told_many)
			repair_say(
				r,
				"too many places share clusters for each to get a copy: the rest "
				"go on sharing, and counts say so");
		d->repair->told_many = true;
		return 0;
	}
	memset(d->bytes, 0, n);
	if (repair_take(r, n >> r->geom.cluster_bits, &to, e) < 0 ||
	    file_read_padded(r->file, first, d->bytes, (size_t)(in_sector + len), NULL, e) <
		    0 ||
	    repair_write(r, to, d->bytes, n, e) < 0)
		return -1;
	return places_add(&d->copies, host, place, to + in_sector, e);
}

void doubles_told(struct doubles *d, struct finding f, uint64_t to)
{
	struct repair *r = d->repair;
	struct check *c = &r->check;
	uint64_t cluster = check_cluster(c, f.host), keeper = 0;
	char text[200];
	int n;

	f.has_host = f.has_place = f.has_counts = true;
	f.cluster = cluster;
	f.refcount = check_stored(c, cluster);
	f.references = counts_get(&c->expected, cluster);
	f.kind = is_others(d, cluster)
			 ? d->tables ? PROBLEM_METADATA_OVERLAP : PROBLEM_CROSS_LINK
		 : d->tables ? PROBLEM_L2_TABLE_TWICE
			     : PROBLEM_REFCOUNT_TOO_LOW;
	n = snprintf(text, sizeof text,
		     "guest 0x%" PRIx64 "+0x%" PRIx64 " gets a copy at 0x%" PRIx64
		     "; it is suspect, and so is ",
		     f.guest, f.guest_len, to);
	if (is_others(d, cluster))
		snprintf(text + n, sizeof text - (size_t)n, "the %s",
			 check_what_text(check_claimed_by(c, cluster)));
	else if (!places_find(&d->owners, cluster, 0, &keeper) || keeper == PACKED)
		snprintf(text + n, sizeof text - (size_t)n, "compressed data");
	else
		snprintf(text + n, sizeof text - (size_t)n, "guest 0x%" PRIx64,
			 (keeper - 1) << (d->tables ? geom_l2_span_bits(c->geom)
						    : c->geom->cluster_bits));
	f.text = text;
	repair_fixed(r, &f, NULL);
}
