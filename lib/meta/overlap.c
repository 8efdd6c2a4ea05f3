#include "meta/overlap.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"

#define SLOT_FREE 0
#define SLOT_GONE UINT64_MAX

void overlap_fini(struct overlap *o)
{
	free(o->slots);
	*o = (struct overlap){ 0 };
}

/* Which slots are near is nobody's to choose: an image whose clusters all met in one place would keep
 * us busy for hours. */
static size_t start_of(const struct overlap *o, uint64_t cluster)
{
	uint64_t x = (cluster ^ o->seed) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 32 ^ o->seed >> 7) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(x ^ x >> 32) & (o->room - 1);
}

/* The slot of a cluster, or NULL. */
static uint64_t *slot_find(const struct overlap *o, uint64_t cluster)
{
	if (!o->room)
		return NULL;
	for (size_t i = start_of(o, cluster);; i = (i + 1) & (o->room - 1)) {
		uint64_t v = o->slots[i];

		if (v == SLOT_FREE)
			return NULL;
		if (v != SLOT_GONE && v >> 4 == cluster)
			return &o->slots[i];
	}
}

static void slot_put(struct overlap *o, uint64_t v)
{
	size_t i = start_of(o, v >> 4);

	while (o->slots[i] != SLOT_FREE)
		i = (i + 1) & (o->room - 1);
	o->slots[i] = v;
	o->used++;
}

/* Half of the slots stay free, so that a search ends soon. */
static int room_make(struct overlap *o, struct err *e)
{
	struct overlap more = { .room = o->room ? o->room * 2 : 64, .seed = o->seed };

	if (o->used * 2 < o->room)
		return 0;
	more.slots = calloc(more.room, sizeof *more.slots);
	if (!more.slots)
		return err_nomem(e);
	/* Memory lies elsewhere in every process. Nothing that is written depends on it. */
	if (!o->room)
		more.seed = (uint64_t)(uintptr_t)more.slots * UINT64_C(0xff51afd7ed558ccd);
	for (size_t i = 0; i < o->room; i++)
		if (o->slots[i] != SLOT_FREE && o->slots[i] != SLOT_GONE)
			slot_put(&more, o->slots[i]);
	free(o->slots);
	*o = more;
	return 0;
}

int overlap_add(struct overlap *o, uint64_t first, uint64_t nr, enum overlap_what what,
		struct err *e)
{
	for (uint64_t i = first; i < first + nr; i++) {
		const uint64_t *had = slot_find(o, i);

		if (had)
			return err_set(e, ERR_CORRUPT,
				       "cluster %" PRIu64 " is claimed by the %s and the %s; run "
				       "check",
				       i, overlap_text((enum overlap_what)(*had & 15)),
				       overlap_text(what));
		if (room_make(o, e) < 0)
			return -1;
		slot_put(o, i << 4 | what);
	}
	return 0;
}

void overlap_remove(struct overlap *o, uint64_t first, uint64_t nr)
{
	for (uint64_t i = first; i < first + nr; i++) {
		uint64_t *slot = slot_find(o, i);

		if (slot)
			*slot = SLOT_GONE;
	}
}

bool overlap_next(const struct overlap *o, size_t *at, uint64_t *cluster, enum overlap_what *what)
{
	for (; *at < o->room; ++*at) {
		uint64_t v = o->slots[*at];

		if (v == SLOT_FREE || v == SLOT_GONE)
			continue;
		*cluster = v >> 4;
		*what = (enum overlap_what)(v & 15);
		++*at;
		return true;
	}
	return false;
}

uint64_t overlap_end(const struct overlap *o)
{
	uint64_t end = 0, cluster;
	enum overlap_what what;

	for (size_t at = 0; overlap_next(o, &at, &cluster, &what);)
		end = MAX(end, cluster + 1);
	return end;
}

/* For ranges that are longer than the set: what lies in it is asked instead. */
static enum overlap_what lowest_in(const struct overlap *o, uint64_t first, uint64_t nr,
				   uint64_t *cluster)
{
	enum overlap_what what, found = OVERLAP_NONE;
	uint64_t i;

	for (size_t at = 0; overlap_next(o, &at, &i, &what);)
		if (i - first < nr && (!found || i < *cluster)) {
			found = what;
			*cluster = i;
		}
	return found;
}

enum overlap_what overlap_find(const struct overlap *o, uint64_t first, uint64_t nr,
			       uint64_t *cluster)
{
	if (nr > o->room)
		return lowest_in(o, first, nr, cluster);
	for (uint64_t i = first; i < first + nr; i++) {
		const uint64_t *slot = slot_find(o, i);

		if (!slot)
			continue;
		*cluster = i;
		return (enum overlap_what)(*slot & 15);
	}
	return OVERLAP_NONE;
}

const char *overlap_text(enum overlap_what what)
{
	static const char *const text[OVERLAP_WHATS] = {
		[OVERLAP_NONE] = "nothing",
		[OVERLAP_HEADER] = "header",
		[OVERLAP_L1_TABLE] = "L1 table",
		[OVERLAP_L2_TABLE] = "L2 table",
		[OVERLAP_REFCOUNT_TABLE] = "refcount table",
		[OVERLAP_REFCOUNT_BLOCK] = "refcount block",
		[OVERLAP_SNAPSHOT_TABLE] = "snapshot table",
		[OVERLAP_SNAPSHOT_L1] = "L1 table of a snapshot",
		[OVERLAP_BITMAPS] = "bitmaps",
		[OVERLAP_CRYPTO_HEADER] = "crypto header",
	};

	return text[what];
}
