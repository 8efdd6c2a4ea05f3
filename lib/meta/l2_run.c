#include "meta/l2_run.h"

#include "base/align.h"

struct l2_scan l2_scan_init(const struct geom *g)
{
	bool has_zero = g->version >= 3 && !g->subclusters;
	uint64_t unaligned = (geom_cluster_size(g) - 1) & ENTRY_OFFSET_MASK;

	return (struct l2_scan) {
		.geom = g,
		.odd = ENTRY_COMPRESSED | L2_RESERVED_MASK | unaligned |
		       (has_zero ? 0 : ENTRY_ZERO),
		.zero = has_zero ? ENTRY_ZERO : 0,
	};
}

static inline uint64_t word(const uint8_t *table, uint64_t i)
{
	return be64_get(table + i * 8);
}

/* Which of eight words have a bit of the mask, as bits 0..7. The mask is in the file's byte
 * order: looking for nothing needs no swapping. The second half is free of branches, for
 * the processor could not foretell them. */
static inline unsigned used_of_eight(const uint8_t *p, uint64_t mask)
{
	uint64_t any = 0, v;
	unsigned used = 0;

	for (unsigned k = 0; k < 8; k++) {
		memcpy(&v, p + k * 8, sizeof v);
		any |= v;
	}
	if (!(any & mask))
		return 0;
	for (unsigned k = 0; k < 8; k++) {
		memcpy(&v, p + k * 8, sizeof v);
		used |= (unsigned)((v & mask) != 0) << k;
	}
	return used;
}

/* First entry at or behind `from` with anything but a ZERO flag in it. */
static uint32_t skip_empty(const struct l2_scan *s, const uint8_t *table, uint32_t from)
{
	uint32_t nr = (uint32_t)geom_l2_entries(s->geom), i = from;
	uint64_t keep = ~s->zero, stored;

	if (s->geom->subclusters) {
		/* Zero bits without a host cluster are fine, allocation bits are not. */
		while (i < nr && !word(table, 2 * i) &&
		       !(word(table, 2 * i + 1) & L2_ALL_ALLOCATED))
			i++;
		return i;
	}
	be64_put((uint8_t *)&stored, keep);
	for (; i + 8 <= nr; i += 8) {
		unsigned used = used_of_eight(table + i * 8, stored);

		if (used)
			return i + (uint32_t)__builtin_ctz(used);
	}
	while (i < nr && !(word(table, i) & keep))
		i++;
	return i;
}

static bool is_plain(const struct l2_scan *s, uint64_t raw, uint64_t bitmap)
{
	bool has_host =
	    (raw & ENTRY_OFFSET_MASK) || (s->geom->data_file && (raw & ENTRY_COPIED));

	return has_host && !(raw & s->odd) && !((bitmap >> 32) & bitmap);
}

/* How many of `max` entries at `table`, the first of which is plain, continue it. */
static uint32_t run_length(const struct l2_scan *s, const uint8_t *table, uint32_t max)
{
	uint64_t keep = ~s->zero, step = geom_cluster_size(s->geom);
	uint64_t first = word(table, 0) & keep;
	uint32_t n = 1;

	if (max < 2 || (word(table, 1) & keep) != first + step)
		return 1;
	for (; n + 8 <= max; n += 8) {
		uint64_t differ = 0;

		for (unsigned k = 0; k < 8; k++)
			differ |= (word(table, n + k) & keep) ^ (first + (n + k) * step);
		if (differ)
			break;
	}
	while (n < max && (word(table, n) & keep) == first + n * step)
		n++;
	return n;
}

static uint32_t run_length_extended(const struct l2_scan *s, const uint8_t *table,
				    uint32_t max)
{
	uint64_t step = geom_cluster_size(s->geom), first = word(table, 0);
	uint32_t n = 1;

	while (n < max && word(table, 2 * n) == first + n * step &&
	       !((word(table, 2 * n + 1) >> 32) & word(table, 2 * n + 1)))
		n++;
	return n;
}

bool l2_run_next(const struct l2_scan *s, const uint8_t *table, uint32_t from,
		 struct l2_run *run)
{
	const struct geom *g = s->geom;
	uint32_t nr = (uint32_t)geom_l2_entries(g);
	uint32_t idx = from < nr ? skip_empty(s, table, from) : nr;

	if (idx == nr)
		return false;
	const uint8_t *p = table + ((uint64_t)idx << g->l2_entry_bits);
	uint64_t raw = word(p, 0);

	*run = (struct l2_run) { .idx = idx, .nr = 1, .kind = L2_RUN_ODD };
	if (!is_plain(s, raw, g->subclusters ? word(p, 1) : 0))
		return true;
	run->kind = L2_RUN_PLAIN;
	run->host = raw & ENTRY_OFFSET_MASK;
	run->copied = raw & ENTRY_COPIED;
	/* A step past the offset field would carry into the flags and look like a match. */
	uint64_t room = (HOST_OFFSET_MAX + 1 - run->host) >> g->cluster_bits;
	uint32_t max = (uint32_t)MIN(nr - idx, room);

	run->nr = g->subclusters ? run_length_extended(s, p, max) : run_length(s, p, max);
	return true;
}
