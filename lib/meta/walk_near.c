/* A look at some of many L2 tables: at those that are likely to map given clusters. */
#include <stdlib.h>

#include "base/align.h"
#include "meta/walk_internal.h"

/* A set of clusters, a bit for each; all of it lies in lo .. hi-1. */
struct set {
	const uint8_t *bits;
	uint64_t lo, hi;
};

static bool bit_at(const uint8_t *bits, uint64_t i)
{
	return bits[i >> 3] >> (i & 7) & 1;
}

/* The first one at or behind i; hi if there is none. */
static uint64_t set_next(const struct set *s, uint64_t i)
{
	for (i = MAX(i, s->lo); i < s->hi; i++) {
		if (bit_at(s->bits, i))
			return i;
		if (!(i & 7) && !s->bits[i >> 3])
			i |= 7;
	}
	return s->hi;
}

/* Marks up to `most` of the tables first .. end-1; returns how many are new. */
static size_t tables_mark(uint8_t *wanted, size_t first, size_t end, size_t most)
{
	size_t nr = 0;

	for (size_t i = first; i < end && nr < most; i++) {
		nr += !bit_at(wanted, i);
		wanted[i >> 3] |= (uint8_t)(1u << (i & 7));
	}
	return nr;
}

/* Marks the tables next to each cluster, `reach` on each side; returns how many are new.
 * Clusters between the same tables count once. *places: how many that are. */
static size_t neighbours_mark(const struct walk *w, const struct set *s, uint8_t *wanted,
			      size_t reach, size_t most, size_t *places)
{
	unsigned bits = w->src.geom->cluster_bits;
	size_t at = 0, nr = 0;
	uint64_t next;

	*places = 0;
	for (uint64_t i = set_next(s, 0); i < s->hi; i = set_next(s, next)) {
		while (at < w->ref_nr && w->refs[at].host >> bits <= i)
			at++;
		next = at < w->ref_nr ? MAX(w->refs[at].host >> bits, i + 1) : s->hi;
		nr += tables_mark(wanted, at - MIN(at, reach), MIN(at + reach, w->ref_nr),
				  most - nr);
		(*places)++;
	}
	return nr;
}

int walk_refs_near(struct walk *w, const uint8_t *clusters, uint64_t lo, uint64_t hi,
		   size_t most, struct err *e)
{
	struct set s = { clusters, lo, hi };
	uint8_t *wanted;
	size_t places, nr, n = 0;

	if (w->ref_nr <= most)
		return 0;
	wanted = calloc(w->ref_nr / 8 + 1, 1);
	if (!wanted)
		return err_nomem(e);
	nr = neighbours_mark(w, &s, wanted, 1, most, &places);
	nr += neighbours_mark(w, &s, wanted, most / (2 * MAX(places, 1)), most - nr,
			      &places);
	for (size_t i = w->ref_nr; i-- && nr < most;)
		nr += tables_mark(wanted, i, i + 1, 1);
	for (size_t i = 0; i < w->ref_nr; i++)
		if (bit_at(wanted, i))
			w->refs[n++] = w->refs[i];
	w->ref_nr = n;
	free(wanted);
	return 0;
}
