/* L2 tables without any entry that may have been zeroed: which leaked clusters they may have mapped. */
#include "ops/orphans_internal.h"

#include "base/align.h"

/* Entries of a zeroed table that lie on the disk. */
static uint64_t table_room(const struct check *c, const struct zeroed_table *z)
{
	const struct geom *g = c->geom;
	uint64_t guest = (uint64_t)z->l1_idx << geom_l2_span_bits(g);

	return MIN(geom_l2_entries(g), geom_clusters(g, g->disk_size - guest));
}

/* A table that a snapshot shares has clusters that are counted as often as it. */
static bool is_shared(struct check *c, const struct zeroed_table *z)
{
	return check_stored(c, check_cluster(c, z->host)) != 1;
}

/* Foreign tables that a repair has replaced are leaked, too, but no table mapped them. */
static void replaced_leave_out(struct check *c, struct orphans *o)
{
	for (size_t i = 0; i < c->options->replaced_nr; i++) {
		uint64_t cluster = check_cluster(c, c->options->replaced[i]);

		if (cluster >= o->clusters || !o->loose_at || !bit_at(o->loose_at, cluster))
			continue;
		o->loose_at[cluster / 8] &= (uint8_t)~(1u << (cluster & 7));
		o->loose--;
	}
}

/* Whether all that lacks a reference lacks all of them, and had one. Else a zeroed table mapped clusters
 * that others have still, and the leaked ones are not its first; that these are counted once too often is
 * all that tells of it, and stays. */
static bool all_are_alone(struct check *c, struct orphans *o, bool any_shared)
{
	bool alone = true;

	for (uint64_t i = 0; i < c->clusters; i++) {
		if (!(i & (COUNTS_PAGE - 1)) && !c->stored.touched[i >> COUNTS_PAGE_BITS]) {
			i += COUNTS_PAGE - 1;
			continue;
		}
		if (c->stored.low[i] == c->expected.low[i] || check_count_unknown(c, i))
			continue;
		if (bit_at(o->loose_at, i)) {
			alone &= !any_shared || check_stored(c, i) == 1;
		} else if (counts_get(&c->expected, i) && !bit_at(o->suspect, i) &&
			   !bit_at(c->metadata, i) &&
			   check_stored(c, i) > counts_get(&c->expected, i)) {
			alone = false;
			bit_set(o->suspect, i);
			o->suspects++;
		}
	}
	return alone;
}

/* What no table explains may have been mapped by those that are zeroed now. How, only the order of
 * the file can tell: if there is one, or if they would be full. */
void zeroed_propose(struct check *c, struct orphans *o)
{
	uint64_t room = 0, nr = 0;

	if (!o->zeroed_nr)
		return;
	replaced_leave_out(c, o);
	for (size_t i = 0; i < o->zeroed_nr; i++) {
		if (is_shared(c, &o->zeroed[i]))
			continue;
		room += table_room(c, &o->zeroed[i]);
		nr++;
	}
	if (!o->loose || c->geom->data_file || !all_are_alone(c, o, nr < o->zeroed_nr) ||
	    o->loose > room || o->zeroed_in_snapshot || (nr > 1 && o->loose != room))
		return;
	for (size_t i = 0; i < o->zeroed_nr; i++)
		if (!is_shared(c, &o->zeroed[i]))
			o->zeroed[i].clusters = MIN(o->loose, table_room(c, &o->zeroed[i]));
}
