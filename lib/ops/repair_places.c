#include "ops/repair_places.h"

#include <stdlib.h>

#define ROOM_MIN 64

void places_fini(struct places *p)
{
	free(p->slots);
	*p = (struct places){ 0 };
}

/* The slot of the pair, or the free one where it would be. */
static struct place_slot *slot_of(const struct places *p, uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ b * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);

	for (size_t i = (size_t)(h ^ h >> 32);; i++) {
		struct place_slot *s = &p->slots[i & (p->room - 1)];

		if (!s->value || (s->a == a && s->b == b))
			return s;
	}
}

bool places_find(const struct places *p, uint64_t a, uint64_t b, uint64_t *value)
{
	if (!p->room)
		return false;
	*value = slot_of(p, a, b)->value;
	return *value;
}

static int grow(struct places *p, struct err *e)
{
	struct places more = { .room = p->room ? p->room * 2 : ROOM_MIN, .nr = p->nr };

	more.slots = calloc(more.room, sizeof *more.slots);
	if (!more.slots)
		return err_nomem(e);
	for (size_t i = 0; i < p->room; i++)
		if (p->slots[i].value)
			*slot_of(&more, p->slots[i].a, p->slots[i].b) = p->slots[i];
	free(p->slots);
	*p = more;
	return 0;
}

int places_add(struct places *p, uint64_t a, uint64_t b, uint64_t value, struct err *e)
{
	if (p->nr >= p->room / 4 * 3 && grow(p, e) < 0)
		return -1;
	*slot_of(p, a, b) = (struct place_slot){ a, b, value };
	p->nr++;
	return 0;
}
