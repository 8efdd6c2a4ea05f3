/* Lost L2 tables go back to where they belong: those that are sure, and guesses. */
#include <inttypes.h>
#include <stdlib.h>

#include "ops/repair_back.h"

/* --- those that are sure --- */

/* One whose clusters another one has taken meanwhile stays. */
static int orphan_put_back(struct repair *r, const struct orphan *o, struct err *e)
{
	struct err why = ERR_INIT;
	struct repair_back b = { 0 };
	int ret = repair_back_load(&b, r, o->host, o->l1_idx, &why);

	if (ret == 0)
		ret = repair_table_put_back(&b, &why);
	free(b.table.bytes);
	if (ret == 0 || why.code == ERR_INVALID) {
		if (ret < 0)
			repair_say(r, "%s: it stays where it is", why.text);
		return 0;
	}
	*e = why;
	return -1;
}

static int sure_put_back(struct repair *r, struct err *e)
{
	for (size_t i = 0; i < r->orphans.nr; i++)
		if (r->orphans.list[i].confidence >= ORPHAN_CONFIDENCE &&
		    orphan_put_back(r, &r->orphans.list[i], e) < 0)
			return -1;
	return 0;
}

/* --- guesses --- */

/* The table is in use and counted, and so are the clusters: entries are all that lacks. */
static int zeroed_fill(struct repair *r, const struct zeroed_table *z, uint64_t *leak,
		       struct err *e)
{
	const struct geom *g = &r->geom;
	struct repair_back b = { 0 };
	uint32_t idx = 0;
	int ret = repair_back_load(&b, r, z->host, z->l1_idx, e);

	for (; ret == 0 && idx < z->clusters; idx++) {
		size_t at = (size_t)idx << g->l2_entry_bits;

		*leak = orphans_next_loose(&r->orphans, *leak);
		if (*leak >= r->check.clusters)
			break;
		bool alone = check_stored(&r->check, *leak) == 1;

		repair_table_put(&b.table, at,
				 *leak << g->cluster_bits | (alone ? ENTRY_COPIED : 0));
		if (g->subclusters)
			repair_table_put(&b.table, at + 8, L2_ALL_ALLOCATED);
		ret = repair_back_refer(&b, *leak << g->cluster_bits, 1, e);
		++*leak;
	}
	if (ret == 0)
		ret = repair_disk_changes(r, e);
	if (ret == 0)
		ret = repair_table_store(r, &b.table, e);
	if (ret == 0) {
		repair_fixed_many(r, PROBLEM_LEAKED_CLUSTER, b.leaked);
		repair_say(r,
			   "Guessing that L1 entry %" PRIu32 " mapped %" PRIu32
			   " leaked clusters in the order of the file",
			   z->l1_idx, idx);
	}
	free(b.table.bytes);
	return ret;
}

static int zeroed_guess(struct repair *r, struct err *e)
{
	uint64_t leak = 0;

	for (size_t i = 0; i < r->orphans.zeroed_nr; i++) {
		const struct zeroed_table *z = &r->orphans.zeroed[i];

		/* One that a snapshot shares would change it. */
		if (z->clusters && repair_may_edit(r, z->host, WALK_L2_TABLE) &&
		    check_stored(&r->check, check_cluster(&r->check, z->host)) == 1 &&
		    zeroed_fill(r, z, &leak, e) < 0)
			return -1;
	}
	return 0;
}

/* What stands in a broken entry tells where a table belongs, and is gone after other repairs. */
static void places_warn(struct repair *r)
{
	size_t nr = 0;

	for (size_t i = 0; !r->told_places && i < r->orphans.nr; i++)
		nr += r->orphans.list[i].place_score && r->orphans.list[i].slot_broken &&
		      (r->options->reattach == REATTACH_NONE ||
		       r->orphans.list[i].confidence < ORPHAN_CONFIDENCE);
	if (nr)
		repair_say(r,
			   "%zu lost L2 tables are offered for L1 entries that this repair changes: "
			   "afterwards less tells where they belong; --reattach and --attach come "
			   "first", nr);
	r->told_places = true;
}

/* Whether something is to be put back in this round. */
static bool any_wanted(const struct repair *r)
{
	if (!r->attached && r->options->attach_nr)
		return true;
	return r->options->reattach != REATTACH_NONE && (r->orphans.nr || r->orphans.zeroed_nr);
}

int repair_orphans(struct repair *r, struct err *e)
{
	uint64_t before = r->writes;

	if (!r->options->attach_nr)
		places_warn(r);
	if (!any_wanted(r) || repair_refcounts_lost(r) || r->check.unreferenced)
		return 0; /* counts that say nothing come first */
	/* False claims to what goes back would let a writer harm it. */
	if (repair_has(r, PROBLEM_COPIED_DATA) &&
	    (repair_copied(r, e) < 0 || repair_flush(r, e) < 0))
		return -1;
	if (r->writes != before)
		return 0;
	if (!r->attached && repair_attach_tables(r, e) < 0)
		return -1;
	r->attached = true;
	if (r->writes != before || r->options->reattach == REATTACH_NONE)
		return 0;
	if (sure_put_back(r, e) < 0)
		return -1;
	/* What the tables that are back explain is not there for guesses. */
	if (r->writes == before && r->options->reattach == REATTACH_GUESS)
		return zeroed_guess(r, e);
	return 0;
}
