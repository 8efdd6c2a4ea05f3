/* L2 tables that are none: overwritten by something else. Their entries lead anywhere, so they are
 * neither counted nor followed. */
#include "ops/check_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/vec.h"

/* An entry that no writer makes, and no cut of the file explains: one flipped bit is enough for
 * that, so a few of them say little. */
static bool is_malformed(const struct check *c, const struct l2_entry *x)
{
	const uint64_t far = MAX(UINT64_C(1) << 42, file_size(c->file) * 16);

	if (x->packed)
		return c->geom->data_file || x->host >= far;
	return (x->raw & L2_RESERVED_MASK) || geom_in_cluster(c->geom, x->host);
}

bool check_l2_is_foreign(const struct check *c, const uint8_t *table)
{
	uint64_t nr = geom_l2_entries(c->geom), used = 0, bad = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct l2_entry x = l2_entry_at(c->geom, table, i);

		used += x.raw != 0;
		bad += x.raw && is_malformed(c, &x);
	}
	return bad >= FOREIGN_MIN && bad * 2 > used;
}

/* Whether any entry needs a look at all. */
static bool may_be_foreign(const struct check *c, const uint8_t *table)
{
	uint64_t unaligned = (geom_cluster_size(c->geom) - 1) & ENTRY_OFFSET_MASK;
	uint64_t mask = L2_RESERVED_MASK | unaligned, stored, any = 0, v;
	size_t step = (size_t)1 << c->geom->l2_entry_bits, n = geom_cluster_size(c->geom);

	be64_put((uint8_t *)&stored, mask);
	for (size_t i = 0; i < n; i += step) {
		memcpy(&v, table + i, sizeof v);
		any |= v;
	}
	return any & stored;
}

int check_foreign_table(struct check *c, const struct walk_l2_table *t, bool *foreign,
			struct err *e)
{
	unsigned span = geom_l2_span_bits(c->geom);
	struct finding f = {
		.kind = PROBLEM_L2_TABLE_FOREIGN,
		.host = t->host,
		.has_host = true,
		.guest = (uint64_t)t->l1_idx << span,
		.guest_len = UINT64_C(1) << span,
	};

	*foreign = may_be_foreign(c, t->bytes) && check_l2_is_foreign(c, t->bytes);
	if (!*foreign)
		return 0;
	if (!vec_grow(&c->foreign, c->foreign_nr, &c->foreign_room))
		return err_nomem(e);
	c->foreign[c->foreign_nr++] = t->host; /* the walk's order: they are sorted */
	c->result->roots_lost = true;
	finding_set_owner(c, &f, t->owner);
	check_found(c, &f);
	return 0;
}

static int host_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

bool check_found_foreign(const struct check *c, uint64_t host)
{
	return c->foreign_nr &&
	       bsearch(&host, c->foreign, c->foreign_nr, sizeof host, host_order);
}
