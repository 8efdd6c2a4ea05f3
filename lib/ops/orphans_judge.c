/* What an L2 table looks like that nothing leads to. */
#include "ops/orphans_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/bits.h"

/* Below this many of 100 entries that agree with the counts it is an old state of a table. */
#define TABLE_SCORE_MIN 50

/* Clusters first .. first+nr-1 as data of one more owner. */
static enum orphan_word clusters_judge(struct check *c, uint64_t first, uint64_t nr)
{
	bool agrees = true;

	for (uint64_t i = first; i < first + nr; i++) {
		if (!i || i >= c->clusters || bit_at(c->metadata, i))
			return ORPHAN_WORD_BAD;
		agrees &= orphan_is_leaked(c, i);
	}
	return agrees ? ORPHAN_WORD_AGREES : ORPHAN_WORD_KNOWN;
}

enum orphan_word orphan_word_judge(struct check *c, const struct l2_entry *x)
{
	if (!x->raw && !x->bitmap)
		return ORPHAN_WORD_EMPTY;
	if (l2_entry_problems(c->geom, x))
		return ORPHAN_WORD_BAD;
	uint64_t first = check_cluster(c, x->host);

	if (x->packed)
		return clusters_judge(c, first, check_cluster(c, x->host + x->host_len - 1) -
							first + 1);
	if (!x->has_host)
		return ORPHAN_WORD_EMPTY;
	/* Clusters of a data file are not counted. */
	return c->geom->data_file ? ORPHAN_WORD_AGREES : clusters_judge(c, first, 1);
}

bool orphan_may_be_table(struct check *c, const uint8_t *bytes, size_t n)
{
	uint32_t nr = (uint32_t)(n >> c->geom->l2_entry_bits);

	for (uint32_t i = 0; i < nr; i++) {
		struct l2_entry x = l2_entry_at(c->geom, bytes, i);

		if (orphan_word_judge(c, &x) == ORPHAN_WORD_BAD)
			return false;
	}
	return true;
}

static int offset_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* No table maps a cluster twice. */
static bool all_differ(uint64_t *offsets, uint32_t nr)
{
	if (nr > 1)
		qsort(offsets, nr, sizeof *offsets, offset_order);
	for (uint32_t i = 1; i < nr; i++)
		if (offsets[i - 1] == offsets[i])
			return false;
	return true;
}

static void sample_take(struct orphan *o, uint32_t idx, uint64_t raw)
{
	/* All of the first, then ever fewer, so that they lie all over the table. */
	if (o->sample_nr < ORPHAN_SAMPLES)
		o->samples[o->sample_nr++] = (struct orphan_sample) { idx, raw };
	else if (is_power_of_two(o->used) || o->used % 64 == 0)
		o->samples[o->used / 64 % ORPHAN_SAMPLES] = (struct orphan_sample) { idx, raw };
}

/* In a data file a cluster lies where the guest has it, and nobody shares it (10). */
static bool is_in_data_file(const struct check *c, const struct l2_entry *x, uint32_t idx)
{
	return x->copied && x->host < c->geom->disk_size &&
	       (x->host >> c->geom->cluster_bits) % geom_l2_entries(c->geom) == idx;
}

/* Nothing can be said of a flag then. */
static bool has_no_count(const struct check *c, uint64_t cluster)
{
	return c->unreferenced && bit_at(c->unreferenced, cluster);
}

bool orphan_judge(struct check *c, uint64_t host, const uint8_t *table, uint64_t *scratch,
		  struct orphan *o)
{
	uint32_t nr = (uint32_t)geom_l2_entries(c->geom), plain = 0, claims = 0;

	*o = (struct orphan) { .host = host };
	for (uint32_t i = 0; i < nr; i++) {
		struct l2_entry x = l2_entry_at(c->geom, table, i);
		enum orphan_word word = orphan_word_judge(c, &x);

		if (word == ORPHAN_WORD_AGREES && c->geom->data_file && !is_in_data_file(c, &x, i))
			word = ORPHAN_WORD_KNOWN;
		if (word == ORPHAN_WORD_BAD)
			return false;
		if (x.raw || x.bitmap)
			o->last_idx = i;
		if (word == ORPHAN_WORD_EMPTY)
			continue;
		o->used++;
		o->agree += word == ORPHAN_WORD_AGREES;
		sample_take(o, i, x.raw & ~ENTRY_COPIED);
		if (x.packed || c->geom->data_file)
			continue;
		scratch[plain++] = x.host;
		claims += has_no_count(c, check_cluster(c, x.host)) ||
			  x.copied == (check_stored(c, check_cluster(c, x.host)) == 1);
	}
	if (!o->used || !all_differ(scratch, plain))
		return false;
	o->table_score = (uint8_t)((uint64_t)o->agree * 100 / o->used);
	/* A table that the disk had claims what it has alone. One that does not is the table of a
	 * bitmap, or of an old state. */
	if (claims < plain - plain / 4)
		return false;
	return o->table_score >= TABLE_SCORE_MIN;
}
