/* L2 tables that are none: overwritten by something else. Their entries lead anywhere, so they are
 * neither counted nor followed. */
#include "ops/check_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/vec.h"

/* No file that was cut short was ever this long, so such an offset is no offset. Compressed entries
 * have no more than 49 bits for it where clusters are large. */
#define FAR_OFF (UINT64_C(1) << 45)
/* Faults that pointers do not have by themselves. A flag that is wrong in every entry is rather the
 * work of a program that had it wrong. */
#define HEAVY	(L2_BAD_RESERVED | L2_BAD_ALIGNMENT | L2_BAD_PACKED_OFFSET)

/* An entry that no writer makes, no cut of the file explains, and no flipped bit alone either. */
static bool is_senseless(const struct check *c, const struct l2_entry *x)
{
	uint64_t len = x->packed ? x->host_len : geom_cluster_size(c->geom);

	if (x->host > MAX(FAR_OFF, 2 * file_size(c->file)))
		return true;
	if (!(l2_entry_problems(c->geom, x) & HEAVY))
		return false;
	return !x->host || (!x->packed && geom_in_cluster(c->geom, x->host)) ||
	       !walk_in_file(c->walk, x->host, len);
}

/* The same for an entry that leads to the data file, where each cluster is as far from the beginning as
 * on the disk. One that is right but for its flags makes sense. */
static bool is_senseless_outside(const struct check *c, const struct l2_entry *x)
{
	uint64_t host = x->raw & ENTRY_OFFSET_MASK, end = c->geom->disk_size;

	if (host > MAX(FAR_OFF, 2 * end))
		return true;
	if (!x->packed && !(l2_entry_problems(c->geom, x) & HEAVY))
		return false;
	return geom_in_cluster(c->geom, host) || host >= end || (!host && !x->copied);
}

bool check_l2_is_foreign(const struct check *c, const uint8_t *table)
{
	uint64_t nr = geom_l2_entries(c->geom), used = 0, bad = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct l2_entry x = l2_entry_at(c->geom, table, i);

		used += x.raw || x.bitmap;
		if (x.raw || x.bitmap)
			bad += c->geom->data_file ? is_senseless_outside(c, &x)
						  : is_senseless(c, &x);
	}
	return bad >= FOREIGN_MIN && bad >= used - used / 4;
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

	*foreign = check_l2_is_foreign(c, t->bytes);
	if (!*foreign)
		return 0;
	if (!vec_grow(&c->foreign, c->foreign_nr, &c->foreign_room))
		return err_nomem(e);
	c->foreign[c->foreign_nr++] = t->host; /* the walk's order: they are sorted */
	/* What it mapped in a data file is not in this one. */
	if (!c->geom->data_file)
		c->result->pointers_lost |= LOST_OTHERS;
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
