/* Roots that lie where others are: the L1 table of the disk gets a place, or a size, of its
 * own. */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "format/l1_entry.h"

static uint64_t l1_need(const struct repair *r)
{
	return geom_l1_entries(&r->geom, r->geom.disk_size);
}

/* Whether something else lies on bytes from .. to-1 of the L1 table, or they are not in the
 * file. */
static bool is_crossed(const struct repair *r, uint64_t from, uint64_t to)
{
	const struct check *c = &r->check;
	uint64_t first = geom_clusters(c->geom, r->header.l1_table_off + from);
	uint64_t end = geom_clusters(c->geom, r->header.l1_table_off + to);

	for (uint64_t i = first; i < end; i++)
		if (i >= c->clusters || check_is_crossed(c, i))
			return true;
	return false;
}

/* A size that has the table reach over other structures, and that the disk does not need.
 */
static bool is_too_long(const struct repair *r)
{
	uint64_t need = l1_need(r) * 8, len = r->header.l1_size * UINT64_C(8);
	uint64_t last = align_up(need, geom_cluster_size(&r->geom));

	return len > last && r->header.l1_table_off &&
	       walk_in_file(r->check.walk, r->header.l1_table_off, need) &&
	       is_crossed(r, last, len);
}

static int l1_shorten(struct repair *r, struct err *e)
{
	repair_say(r,
		   "Repairing L1 table: it reaches over other structures with %" PRIu32
		   " entries, and the disk needs %" PRIu64,
		   r->header.l1_size, l1_need(r));
	r->header.l1_size = (uint32_t)l1_need(r);
	return repair_header(r, HEADER_L1, e);
}

/* A snapshot that has the L1 table of the disk: which of the two had it first nobody knows.
 */
static bool is_shared(const struct repair *r)
{
	uint32_t nr;
	const struct walk_snapshot *list = walk_snapshots(r->check.walk, &nr);

	for (uint32_t i = 0; i < nr; i++)
		if (!list[i].followed && list[i].l1_nr &&
		    list[i].l1_off == r->header.l1_table_off)
			return true;
	return false;
}

/* The disk keeps what it reads, and so does whoever has this place. */
static int l1_copy(struct repair *r, struct err *e)
{
	uint64_t len = r->header.l1_size * UINT64_C(8), host;
	uint64_t room = align_up(len, geom_cluster_size(&r->geom));
	uint8_t *bytes = calloc(1, room);
	int ret = -1;

	if (!bytes)
		return err_nomem(e);
	if (file_read_padded(r->file, r->header.l1_table_off, bytes, len, NULL, e) == 0 &&
	    repair_take(r, room >> r->geom.cluster_bits, &host, e) == 0 &&
	    repair_write(r, host, bytes, room, e) == 0 &&
	    /* It may never have been the disk's. */
	    repair_disk_changes(r, e) == 0) {
		r->header.l1_table_off = host;
		ret = repair_header(r, HEADER_L1, e);
	}
	free(bytes);
	return ret;
}

/* What they share is counted for both in the next round. */
static int l1_share(struct repair *r, struct err *e)
{
	struct finding f = { .kind = PROBLEM_SNAPSHOT_L1_OVERLAP,
			     .has_host = true,
			     .host = r->header.l1_table_off };

	if (l1_copy(r, e) < 0)
		return -1;
	repair_fixed(r, &f, "the disk gets a copy of it");
	return 0;
}

/* An entry that no flipped bit explains. */
static bool is_senseless(const struct repair *r, uint64_t raw)
{
	uint64_t off = raw & ENTRY_OFFSET_MASK;

	return (raw & L1_RESERVED_MASK) &&
	       (geom_in_cluster(&r->geom, off) || check_cluster(&r->check, off) >= r->check.clusters);
}

bool repair_l1_is_foreign(const struct repair *r, const uint8_t *bytes, uint64_t nr)
{
	bool senseless = false;
	uint64_t host;

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t raw = be64_get(bytes + i * 8);

		if (walk_l2_followed(r->check.walk, raw, &host))
			return false;
		senseless |= is_senseless(r, raw);
	}
	return senseless;
}

static int is_foreign(struct repair *r, bool *foreign, struct err *e)
{
	uint64_t len = r->header.l1_size * UINT64_C(8);
	AUTO_FREE uint8_t *bytes = malloc(len + 1);

	*foreign = false;
	if (!repair_has(r, PROBLEM_L1_ENTRY_RESERVED) ||
	    !walk_in_file(r->check.walk, r->header.l1_table_off, len))
		return 0;
	if (!bytes)
		return err_nomem(e);
	if (file_read_padded(r->file, r->header.l1_table_off, bytes, len, NULL, e) < 0)
		return -1;
	*foreign = repair_l1_is_foreign(r, bytes, r->header.l1_size);
	return 0;
}

/* Its entries are mended where that harms nobody. */
static int l1_leave(struct repair *r, struct err *e)
{
	repair_say(r, "Repairing L1 table: what is at 0x%" PRIx64 " may be something else, and stays; the "
		      "disk gets a copy of it", r->header.l1_table_off);
	return l1_copy(r, e);
}

int repair_roots(struct repair *r, struct err *e)
{
	uint64_t len = r->header.l1_size * UINT64_C(8);
	bool foreign;

	if (is_too_long(r))
		return l1_shorten(r, e);
	if (is_foreign(r, &foreign, e) < 0)
		return -1;
	if (foreign && !r->left_l1 && repair_can_take(r, geom_clusters(&r->geom, len))) {
		r->left_l1 = true;
		return l1_leave(r, e);
	}
	if (!repair_has(r, PROBLEM_SNAPSHOT_L1_OVERLAP) || r->options->drop_snapshots ||
	    !is_shared(r) || is_crossed(r, 0, len) ||
	    !repair_can_take(r, geom_clusters(&r->geom, len)))
		return 0;
	return l1_share(r, e);
}
