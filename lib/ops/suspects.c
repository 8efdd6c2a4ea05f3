/* Leaks are not all garbage: which leaked clusters may be data that something lost. */
#include "ops/orphans_internal.h"

#include <stdlib.h>

#include "base/align.h"

static void suspect_add(struct check *c, struct orphans *o, uint64_t cluster)
{
	if (cluster >= o->clusters || bit_at(o->suspect, cluster) || !orphan_is_leaked(c, cluster))
		return;
	bit_set(o->suspect, cluster);
	if (c->unreferenced && bit_at(c->unreferenced, cluster) && !c->stored.low[cluster])
		o->uncounted++;
	else
		o->suspects++;
}

/* A lost table, and all that it maps. */
static int orphan_take(struct check *c, struct orphans *o, const struct orphan *x, uint8_t *table,
		       struct err *e)
{
	struct err ignored = ERR_INIT;

	suspect_add(c, o, check_cluster(c, x->host));
	/* It could be read a moment ago. */
	if (file_read_padded(c->file, x->host, table, geom_cluster_size(c->geom), NULL, &ignored) <
	    0) {
		o->unread = true;
		return 0;
	}
	for (uint32_t i = 0; !c->geom->data_file && i < geom_l2_entries(c->geom); i++) {
		struct l2_entry y = l2_entry_at(c->geom, table, i);
		uint64_t last = y.packed ? y.host + y.host_len - 1 : y.host;

		if (!y.packed && !y.has_host)
			continue;
		for (uint64_t k = check_cluster(c, y.host); k <= check_cluster(c, last); k++)
			suspect_add(c, o, k);
	}
	return watch_stopped(c->options->watch, e);
}

static void loose_count(struct check *c, struct orphans *o)
{
	for (uint64_t i = orphan_next_leak(c, 0); i < c->clusters; i = orphan_next_leak(c, i + 1))
		if (!bit_at(o->suspect, i)) {
			o->loose++;
			if (o->loose_at)
				bit_set(o->loose_at, i);
			if (o->loose_at || check_stored(c, i) == suspect_count(c->geom->refcount_order))
				suspect_add(c, o, i);
		}
}

uint64_t orphans_next_loose(const struct orphans *o, uint64_t from)
{
	while (from < o->clusters && !(o->loose_at && bit_at(o->loose_at, from)))
		from++;
	return MIN(from, o->clusters);
}

int suspects_find(struct check *c, struct orphans *o, struct err *e)
{
	bool zeroed = o->zeroed_nr || o->zeroed_in_snapshot;
	uint8_t *table = NULL;
	int ret = 0;

	o->pointers_lost = c->result->pointers_lost;
	o->clusters = c->clusters;
	o->suspect = calloc(c->clusters / 8 + 1, 1);
	table = malloc(geom_cluster_size(c->geom));
	if (zeroed)
		o->loose_at = calloc(c->clusters / 8 + 1, 1);
	if (!o->suspect || !table || (zeroed && !o->loose_at))
		ret = err_nomem(e);
	for (size_t i = 0; ret == 0 && i < o->nr; i++)
		ret = orphan_take(c, o, &o->list[i], table, e);
	if (ret == 0) {
		loose_count(c, o);
		zeroed_propose(c, o);
	}
	/* Then it is all of them. */
	if (o->pointers_lost || o->more || o->unread) {
		o->suspects = c->result->kinds[PROBLEM_LEAKED_CLUSTER];
		o->uncounted = c->unreferenced_nr;
	}
	free(table);
	return ret;
}
