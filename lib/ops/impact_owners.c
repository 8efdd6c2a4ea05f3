/* What was found, in any order, as ranges of the disk and of each snapshot. */
#include "ops/impact_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/vec.h"

struct answer {
	struct check *check;
	size_t room, owner_room; /* of the ranges, of the owners */
	uint32_t snapshot_nr;
	const struct walk_snapshot *snapshots;
};

/* Worse first, so that what is damaged is not said to be at risk as well. */
static int range_order(const void *a, const void *b)
{
	const struct impact_range *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->guest != y->guest)
		return x->guest < y->guest ? -1 : 1;
	if (x->how != y->how)
		return x->how > y->how ? -1 : 1;
	return x->len > y->len ? -1 : x->len < y->len;
}

static struct impact_owner *owner_new(struct answer *a, uint32_t owner, struct err *e)
{
	struct impact *out = a->check->options->impact;
	struct impact_owner *o;

	if (!vec_grow(&out->owners, out->owner_nr, &a->owner_room)) {
		err_nomem(e);
		return NULL;
	}
	o = &out->owners[out->owner_nr++];
	*o = (struct impact_owner) { .is_snapshot = owner,
				     .disk_size = a->check->geom->disk_size,
				     .first = out->range_nr };
	if (owner && owner <= a->snapshot_nr) {
		const struct walk_snapshot *s = &a->snapshots[owner - 1];

		o->idx = owner - 1;
		memcpy(o->id, s->id, sizeof o->id);
		memcpy(o->name, s->name, sizeof o->name);
		if (s->disk_size)
			o->disk_size = MIN(s->disk_size, FILE_OFFSET_MAX);
	}
	return o;
}

/* Ranges come in rising order of their beginnings; what is worse displaces what is less so. */
static int range_push(struct answer *a, struct impact_owner *o, struct impact_range r,
		      struct err *e)
{
	struct impact *out = a->check->options->impact;
	struct impact_range *last = o->nr ? &out->ranges[out->range_nr - 1] : NULL;

	if (last && last->how == r.how && last->guest + last->len >= r.guest) {
		last->len = MAX(last->guest + last->len, r.guest + r.len) - last->guest;
		return 0;
	}
	if (!vec_grow(&out->ranges, out->range_nr, &a->room))
		return err_nomem(e);
	out->ranges[out->range_nr++] = r;
	o->nr++;
	return 0;
}

static int range_settle(struct answer *a, struct impact_owner *o, struct impact_range r,
			struct err *e)
{
	struct impact *out = a->check->options->impact;
	struct impact_range *last = o->nr ? &out->ranges[out->range_nr - 1] : NULL;
	uint64_t span = UINT64_C(1) << geom_l2_span_bits(a->check->geom);
	uint64_t end = r.len > UINT64_MAX - r.guest ? UINT64_MAX : r.guest + r.len;
	uint64_t last_end = last ? last->guest + last->len : 0;
	struct impact_range rest = { .guest = 0 };

	/* The state of a virtual machine lies behind the disk, from the next L2 table on (8.6). */
	if (end != UINT64_MAX && end > align_up(o->disk_size, span))
		o->vm_state = true;
	end = MIN(end, o->disk_size);
	if (last && last->how >= r.how)
		r.guest = MAX(r.guest, last_end);
	if (r.guest >= end)
		return 0;
	r.len = end - r.guest;
	if (last && last->how < r.how && last_end > r.guest) {
		/* The last one may be what such a one has left, and begin behind this one. */
		rest = *last;
		rest.guest = MAX(end, last->guest);
		rest.len = last_end > rest.guest ? last_end - rest.guest : 0;
		if (r.guest > last->guest) {
			last->len = r.guest - last->guest;
		} else {
			out->range_nr--;
			o->nr--;
		}
	}
	if (range_push(a, o, r, e) < 0)
		return -1;
	return rest.len ? range_push(a, o, rest, e) : 0;
}

int impact_settle(struct check *c, struct impact_ranges *all, struct err *e)
{
	struct impact *out = c->options->impact;
	struct answer a = { .check = c };
	struct impact_owner *o = NULL;

	a.snapshots = walk_snapshots(c->walk, &a.snapshot_nr);
	if (all->nr > 1)
		qsort(all->ranges, all->nr, sizeof *all->ranges, range_order);
	for (size_t i = 0; i < all->nr; i++) {
		if (!i || all->ranges[i].owner != all->ranges[i - 1].owner)
			o = owner_new(&a, all->ranges[i].owner, e);
		if (!o || range_settle(&a, o, all->ranges[i], e) < 0)
			return -1;
	}
	for (size_t i = 0; i < out->owner_nr; i++)
		for (size_t k = 0; k < out->owners[i].nr; k++) {
			const struct impact_range *r = &out->ranges[out->owners[i].first + k];

			out->owners[i].bytes[r->how] += r->len;
		}
	return 0;
}

void impact_fini(struct impact *x)
{
	for (size_t i = 0; i < x->owner_nr; i++)
		partitions_free(&x->owners[i].partitions);
	free(x->owners);
	free(x->ranges);
	*x = (struct impact) { 0 };
}
