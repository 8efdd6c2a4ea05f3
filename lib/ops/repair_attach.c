/* L2 tables that are put back by hand: refused where that would take something from others. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "ops/repair_back.h"

static bool is_zeroed(const struct repair *r, uint32_t idx)
{
	for (size_t i = 0; i < r->orphans.zeroed_nr; i++)
		if (r->orphans.zeroed[i].l1_idx == idx)
			return true;
	return false;
}

/* How many entries of the disk lead to this table. */
struct leading {
	struct repair *repair;
	uint64_t host, nr;
};

static int on_leading_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct leading *l = arg;
	uint64_t host;

	(void)e;
	for (uint32_t i = 0; p->owner.kind == WALK_ACTIVE && i < p->nr; i++)
		l->nr += walk_l2_followed(l->repair->check.walk, be64_get(p->bytes + 8 * i), &host) &&
			 host == l->host;
	return 0;
}

/* Whether the table is another entry's as well, and not counted for both. */
static int double_check(struct repair *r, uint64_t host, bool *doubled, struct err *e)
{
	static const struct walk_ops ops = { .l1_part = on_leading_part };
	struct leading l = { .repair = r, .host = host };
	struct walk *w;
	int ret = 0;

	if (orphan_table_is_crowded(&r->check, host)) {
		w = check_walk_again(&r->check, &ops, &l, e);
		ret = w ? walk_l1_tables(w, e) : -1;
		walk_free(w);
	}
	*doubled = l.nr > 1;
	return ret;
}

static int slot_check(struct repair *r, uint32_t idx, struct err *e)
{
	uint64_t raw = 0, host;
	bool doubled;

	if (repair_slot_read(r, idx, &raw, e) < 0)
		return -1;
	if (!walk_l2_followed(r->check.walk, raw, &host) ||
	    check_found_foreign(&r->check, host) || is_zeroed(r, idx) ||
	    !orphan_slot_is_sound(&r->check, host))
		return 0;
	if (double_check(r, host, &doubled, e) < 0)
		return -1;
	if (!doubled)
		return err_set(e, ERR_INVALID,
			       "L1 entry %" PRIu32 " leads to an L2 table already, at %#" PRIx64,
			       idx, host);
	return 0;
}

static int table_check(struct repair_back *b, struct err *e)
{
	struct check *c = &b->repair->check;
	bool used = false;

	for (uint32_t i = 0; i < geom_l2_entries(c->geom); i++) {
		struct l2_entry x = l2_entry_at(c->geom, b->table.bytes, i);

		used |= x.packed || x.has_host;
		if (orphan_word_judge(c, &x) == ORPHAN_WORD_BAD)
			return err_set(e, ERR_INVALID,
				       "what is at %#" PRIx64 " is no L2 table: entry %" PRIu32
				       " is %#" PRIx64,
				       b->table.host, i, x.raw);
	}
	return used ? 0
		    : err_set(e, ERR_INVALID, "what is at %#" PRIx64 " maps nothing",
			      b->table.host);
}

static int place_check(struct repair *r, uint64_t host, struct err *e)
{
	struct check *c = &r->check;
	uint64_t cluster = check_cluster(c, host);

	if (!host || geom_in_cluster(c->geom, host) || cluster >= c->clusters)
		return err_set(e, ERR_INVALID, "%#" PRIx64 " is not the offset of a cluster", host);
	if (bit_at(c->metadata, cluster) && check_claimed_by(c, cluster) != WALK_L2_TABLE)
		return err_set(e, ERR_INVALID, "what is at %#" PRIx64 " is no L2 table: it is the %s",
			       host, check_what_text(check_claimed_by(c, cluster)));
	return 0;
}

static int hand_load(struct repair *r, const struct repair_attach *a, struct repair_back *b,
		     struct err *e)
{
	if (slot_check(r, a->l1_idx, e) < 0 || place_check(r, a->host, e) < 0 ||
	    repair_back_load(b, r, a->host, a->l1_idx, e) < 0)
		return -1;
	return table_check(b, e);
}

int repair_attach_tables(struct repair *r, struct err *e)
{
	const struct repair_options *o = r->options;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < 2 * o->attach_nr; i++) {
		struct repair_back b = { 0 };

		ret = hand_load(r, &o->attach[i % o->attach_nr], &b, e);
		if (ret == 0 && i >= o->attach_nr)
			ret = repair_table_put_back(&b, e);
		free(b.table.bytes);
	}
	return ret;
}
