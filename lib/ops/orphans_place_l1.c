/* The entries of the active L1 table: which lead to tables of their own, and which are free
 * for an orphan. */
#include "ops/orphans_place_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/vec.h"

#define NEIGHBOURS_MAX ((size_t)1 << 20)

static bool is_zeroed(const struct place *p, uint32_t idx)
{
	size_t at = vec_below(p->out->zeroed, p->out->zeroed_nr, l1_idx, idx);

	return at < p->out->zeroed_nr && p->out->zeroed[at].l1_idx == idx;
}

static int slot_add(struct place *p, struct slot **list, size_t *nr, size_t *room,
		    const struct slot *x, struct err *e)
{
	if (*nr >= NEIGHBOURS_MAX) {
		p->cut = true;
		return 0;
	}
	if (!vec_grow(list, *nr, room))
		return err_nomem(e);
	(*list)[(*nr)++] = *x;
	return 0;
}

/* Parts of the L1 table without any entry are not handed over: all of that is free. */
static int empty_to(struct place *p, uint64_t end, struct err *e)
{
	for (; p->seen < end && !p->cut; p->seen++) {
		struct slot x = { .idx = (uint32_t)p->seen };

		if (slot_add(p, &p->free, &p->free_nr, &p->free_room, &x, e) < 0)
			return -1;
	}
	return 0;
}

static int on_active_part(void *arg, const struct walk_l1_part *part, struct err *e)
{
	struct place *p = arg;
	struct check *c = p->check;
	uint64_t need = geom_l1_entries(c->geom, c->geom->disk_size);

	if (part->owner.kind != WALK_ACTIVE)
		return 0;
	if (empty_to(p, MIN(part->first, need), e) < 0)
		return -1;
	for (uint32_t i = 0; i < part->nr && part->first + i < need; i++, p->seen++) {
		struct slot x = { .raw = be64_get(part->bytes + i * 8),
				  .idx = part->first + i };
		x.is_zeroed = is_zeroed(p, x.idx);
		bool leads = walk_l2_followed(c->walk, x.raw, &x.host) &&
			     !check_found_foreign(c, x.host) && !x.is_zeroed;

		x.leads_astray = leads && !orphan_slot_is_sound(c, x.host);
		leads &= !x.leads_astray;
		if (!leads)
			x.host = 0;
		if (leads ? slot_add(p, &p->tables, &p->table_nr, &p->table_room, &x, e) < 0
			  : slot_add(p, &p->free, &p->free_nr, &p->free_room, &x, e) < 0)
			return -1;
	}
	return 0;
}

static int host_order(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

static int idx_order(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

/* Whether an orphan lies between this table and the next one. */
static bool orphan_follows(const struct place *p, size_t end)
{
	uint64_t from = p->tables[end - 1].host;
	uint64_t to = end < p->table_nr ? p->tables[end].host : UINT64_MAX;
	size_t at = vec_below(p->out->list, p->out->nr, host, from);

	return at < p->out->nr && p->out->list[at].host < to;
}

/* Of entries first .. end-1, which lead to one table, the one whose table it is: where its
 * neighbours in the file let it be, and so that there is a place for an orphan that
 * follows. */
static size_t double_keep(const struct place *p, size_t first, size_t end)
{
	uint64_t from = first ? p->tables[first - 1].idx : 0;
	uint64_t to = end < p->table_nr ? p->tables[end].idx : UINT32_MAX;
	bool low = orphan_follows(p, end);
	size_t keep = low ? first : end - 1;

	for (size_t i = first; i < end; i++) {
		size_t k = low ? end - 1 - (i - first) : i;

		if ((!first || p->tables[k].idx > from) && p->tables[k].idx < to)
			keep = k;
	}
	return keep;
}

/* Entries that lead to the table of another one, which is not counted for them: their own
 * may be among the orphans. */
static int doubles_free(struct place *p, struct err *e)
{
	size_t kept = 0, end;

	if (p->table_nr > 1)
		qsort(p->tables, p->table_nr, sizeof *p->tables, host_order);
	for (size_t i = 0; i < p->table_nr; i = end) {
		for (end = i + 1;
		     end < p->table_nr && p->tables[end].host == p->tables[i].host;)
			end++;
		bool crowded =
			end - i > 1 && orphan_table_is_crowded(p->check, p->tables[i].host);
		size_t keep = crowded ? double_keep(p, i, end) : i;

		for (size_t k = i; k < end; k++) {
			struct slot x = p->tables[k];

			if (!crowded || k == keep)
				continue;
			x.host = 0;
			x.leads_astray = true;
			if (slot_add(p, &p->free, &p->free_nr, &p->free_room, &x, e) < 0)
				return -1;
		}
		if (crowded)
			p->tables[keep].kept = true;
		for (size_t k = i; !crowded && k < end; k++)
			p->tables[k].kept = true;
	}
	for (size_t i = 0; i < p->table_nr; i++)
		if (p->tables[i].kept)
			p->tables[kept++] = p->tables[i];
	p->table_nr = kept;
	if (p->free_nr > 1)
		qsort(p->free, p->free_nr, sizeof *p->free, idx_order);
	return 0;
}

static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	struct place *p = arg;

	p->cut |= f->bad == WALK_BAD_READ;
	return 0;
}

int place_slots_find(struct place *p, struct err *e)
{
	static const struct walk_ops ops = { .l1_part = on_active_part, .fault = on_fault };
	const struct geom *g = p->check->geom;

	if (place_walk(p, &ops, false, e) < 0 ||
	    empty_to(p, geom_l1_entries(g, g->disk_size), e) < 0)
		return -1;
	return doubles_free(p, e);
}
