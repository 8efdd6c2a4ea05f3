/* Which clusters metadata structures use, and where two of them meet. */
#include "ops/check_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/vec.h"
#include "format/l1_entry.h"

const char *check_what_text(enum walk_what what)
{
	static const char *const text[WALK_WHATS] = {
		[WALK_HEADER] = "header",
		[WALK_REFCOUNT_TABLE] = "refcount table",
		[WALK_REFCOUNT_BLOCK] = "refcount block",
		[WALK_CRYPTO_HEADER] = "crypto header",
		[WALK_SNAPSHOT_TABLE] = "snapshot table",
		[WALK_BITMAP_DIRECTORY] = "bitmap directory",
		[WALK_BITMAP_TABLE] = "bitmap table",
		[WALK_BITMAP_DATA] = "bitmap data",
		[WALK_L1_TABLE] = "L1 table",
		[WALK_L2_TABLE] = "L2 table",
		[WALK_GUEST_DATA] = "guest data",
	};

	return text[what];
}

bool check_any_metadata(const struct check *c, uint64_t first, uint64_t nr)
{
	uint64_t i = first, end = MIN(first + nr, c->clusters);

	for (; i < end && i % 8; i++)
		if (bit_at(c->metadata, i))
			return true;
	for (; i + 8 <= end; i += 8)
		if (c->metadata[i / 8])
			return true;
	for (; i < end; i++)
		if (bit_at(c->metadata, i))
			return true;
	return false;
}

static int claim_order(const void *a, const void *b)
{
	const struct check_claim *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Claims that came after the last sort are looked at one by one, up to so many: in a hostile image each
 * claim may be followed by a question. */
#define UNSORTED_MAX 1024

/* L2 tables are too many to be listed: what no claim covers is one. */
void check_claims_sort(struct check *c)
{
	struct check_claim few[UNSORTED_MAX], *all = c->claims;
	size_t nr = c->claim_nr - c->claims_sorted, at = c->claims_sorted, to = c->claim_nr;

	c->claims_sorted = c->claim_nr;
	if (nr > UNSORTED_MAX) {
		qsort(all, c->claim_nr, sizeof *all, claim_order);
		return;
	}
	if (!nr)
		return;
	qsort(all + at, nr, sizeof *all, claim_order);
	memcpy(few, all + at, nr * sizeof *few);
	while (nr) {
		const struct check_claim *x = &few[nr - 1];

		if (at && claim_order(&all[at - 1], x) > 0) {
			all[--to] = all[--at];
		} else {
			all[--to] = *x;
			nr--;
		}
	}
}

enum walk_what check_claimed_by(struct check *c, uint64_t cluster)
{
	if (c->claim_nr - c->claims_sorted >= UNSORTED_MAX)
		check_claims_sort(c);
	for (size_t i = c->claims_sorted; i < c->claim_nr; i++)
		if (cluster >= c->claims[i].first && cluster - c->claims[i].first < c->claims[i].nr)
			return c->claims[i].what;
	size_t low = 0, high = c->claims_sorted;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct check_claim *x = &c->claims[mid];

		if (cluster < x->first)
			high = mid;
		else if (cluster - x->first >= x->nr)
			low = mid + 1;
		else
			return x->what;
	}
	return WALK_L2_TABLE;
}

bool check_is_refcounts(enum walk_what what)
{
	return what == WALK_REFCOUNT_TABLE || what == WALK_REFCOUNT_BLOCK;
}

/* Claims don't overlap: a cluster belongs to the first structure that came for it. */
static int claim_add(struct check *c, uint64_t cluster, enum walk_what what, struct err *e)
{
	struct check_claim *last = c->claim_nr ? &c->claims[c->claim_nr - 1] : NULL;

	bit_set(c->metadata, cluster);
	if (check_is_refcounts(what))
		bit_set(c->refcounts, cluster);
	if (last && last->what == what && last->first + last->nr == cluster) {
		last->nr++; /* nobody else's, so what is sorted stays so */
		return 0;
	}
	if (!vec_grow(&c->claims, c->claim_nr, &c->claim_room))
		return err_nomem(e);
	c->claims[c->claim_nr++] = (struct check_claim) { cluster, 1, what };
	return 0;
}

int check_cross(struct check *c, uint64_t cluster, enum walk_what what, struct err *e)
{
	c->refcounts_crossed += check_is_refcounts(what) || bit_at(c->refcounts, cluster);
	if (!c->crossed)
		c->crossed = calloc(c->clusters / 8 + 1, 1);
	if (!c->overlapped)
		c->overlapped = calloc(c->clusters / 8 + 1, 1);
	if (!c->crossed || !c->overlapped)
		return err_nomem(e);
	bit_set(c->crossed, cluster);
	if (what != WALK_GUEST_DATA)
		bit_set(c->overlapped, cluster);
	return 0;
}

bool check_is_overlapped(const struct check *c, uint64_t cluster)
{
	return c->overlapped && bit_at(c->overlapped, cluster);
}

bool check_is_crossed(const struct check *c, uint64_t cluster)
{
	return c->crossed && bit_at(c->crossed, cluster);
}

int check_on_area(void *arg, const struct walk_area *a, struct err *e)
{
	struct check *c = arg;
	uint64_t first = check_cluster(c, a->host);
	uint64_t end = MIN(check_cluster(c, a->host + a->len - 1) + 1, c->clusters);
	bool met = false;

	if (first >= end)
		return 0;
	if (counts_add(&c->expected, first, end - first, a->times, e) < 0)
		return -1;
	for (uint64_t i = first; i < end; i++) {
		if (!bit_at(c->metadata, i)) {
			if (claim_add(c, i, a->what, e) < 0)
				return -1;
			continue;
		}
		check_lost_overlap(c, a->what, check_claimed_by(c, i));
		if (check_cross(c, i, a->what, e) < 0)
			return -1;
		if (!met) {
			struct finding f = { .kind = PROBLEM_METADATA_OVERLAP,
					     .has_host = true,
					     .host = i << c->geom->cluster_bits,
					     .text = check_what_text(a->what) };

			finding_set_owner(c, &f, a->owner);
			check_found(c, &f);
		}
		met = true;
	}
	return 0;
}

/* --- whose is an L1 table? --- */

/* Whether a cluster can be part of an L1 table, and is not empty. No refcount block looks like that. */
static bool is_l1_table(struct check *c, uint64_t host)
{
	size_t size = geom_cluster_size(c->geom);
	uint8_t *bytes = malloc(size);
	struct err ignored = ERR_INIT;
	bool read = bytes && file_read_padded(c->file, host, bytes, size, NULL, &ignored) == 0;
	bool fits = read && !bytes_are_zero(bytes, size);

	c->result->unread |= !read;

	for (size_t i = 0; fits && i < size; i += 8) {
		uint64_t raw = be64_get(bytes + i), off = raw & ENTRY_OFFSET_MASK;

		fits = !(raw & L1_RESERVED_MASK) && !geom_in_cluster(c->geom, off) &&
		       off < file_size(c->file);
	}
	free(bytes);
	return fits;
}

/* A refcount table looks like an L1 table, but leads to no L2 tables. */
static bool is_no_l1_table(struct check *c, uint64_t host, uint64_t len)
{
	return !walk_leads_to_tables(c->walk, host, len / 8) || !is_l1_table(c, host);
}

/* Snapshots can be made to claim the same clusters for their L1 tables many thousand times. Some seconds. */
#define TAKEN_LOOKS_MAX (UINT64_C(1) << 26)

/* Bitmaps have to yield, and so has a refcount structure that was led to a table. */
bool check_taken(void *arg, uint64_t host, uint64_t len)
{
	struct check *c = arg;
	uint64_t first = check_cluster(c, host), end = check_cluster(c, host + len - 1) + 1;

	if (!check_any_metadata(c, first, end - first))
		return false;
	for (uint64_t i = first; i < MIN(end, c->clusters); i++) {
		enum walk_what what = bit_at(c->metadata, i) ? check_claimed_by(c, i) : WALK_GUEST_DATA;
		bool reads = what == WALK_REFCOUNT_TABLE || what == WALK_REFCOUNT_BLOCK;

		c->taken_looks += reads ? geom_cluster_size(c->geom) / 2 : 1;
		if (c->taken_looks > TAKEN_LOOKS_MAX || what == WALK_HEADER || what == WALK_CRYPTO_HEADER ||
		    what == WALK_SNAPSHOT_TABLE || what == WALK_L1_TABLE ||
		    (what == WALK_REFCOUNT_TABLE && is_no_l1_table(c, host, len)) ||
		    (what == WALK_REFCOUNT_BLOCK && !is_l1_table(c, i << c->geom->cluster_bits)))
			return true;
	}
	return false;
}
