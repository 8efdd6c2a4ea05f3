/* Where a repair puts what is new. Counts cannot be trusted, and what nobody refers to may be data
 * of something that cannot be read: only what lies behind the end of the file is surely free. */
#include "ops/repair_internal.h"

#include <inttypes.h>

#include "base/align.h"

/* What the snapshot leads to is nobody's any more when it is given up, as it will be next time if that
 * is not the end of it. */
static bool goes_with_snapshot(const struct repair *r, const struct finding *f)
{
	return r->options->drop_snapshots && f->owner == FINDING_SNAPSHOT && f->guest_len &&
	       f->owner_idx < SNAPSHOTS_MAX && bit_at(r->l1_broken, f->owner_idx);
}

/* A structure that leads out of the file and stays as it is: if the file grew over its place, it
 * would seem to be there, and empty. */
void repair_outside_note(struct repair *r, const struct finding *f)
{
	if (f->kind == PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE && f->host < file_size(r->file)) {
		r->snapshots_cut = true;
		return;
	}
	if (goes_with_snapshot(r, f))
		return;
	switch (f->kind) {
	case PROBLEM_CRYPTO_HEADER_OUT_OF_FILE:
	case PROBLEM_L1_TABLE_OUT_OF_FILE:
	case PROBLEM_SNAPSHOT_L1_OUT_OF_FILE:
	case PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE:
	case PROBLEM_L1_ENTRY_OUT_OF_FILE:
	case PROBLEM_L2_ENTRY_OUT_OF_FILE:
	case PROBLEM_COMPRESSED_OUT_OF_FILE:
		if (f->has_host)
			r->outside = MIN(r->outside, f->host);
		break;
	default:
		break;
	}
}

/* A device does not grow: what lies behind all that is counted or referred to is free. */
static bool can_grow(const struct repair *r)
{
	return file_is_regular(r->file) || !*file_path(r->file);
}

static void next_find(struct repair *r)
{
	if (!r->next)
		r->next = align_up(can_grow(r) ? file_size(r->file) : r->found.image_end_offset,
				   geom_cluster_size(&r->geom));
}

/* What the file must not reach when it grows. */
static uint64_t limit(const struct repair *r)
{
	return r->snapshots_cut ? MIN(r->outside, file_size(r->file)) : r->outside;
}

bool repair_can_take(struct repair *r, uint64_t nr)
{
	uint64_t len = nr << r->geom.cluster_bits;

	next_find(r);
	return r->next + len <= HOST_OFFSET_MAX &&
	       r->next + len <= (can_grow(r) ? limit(r) : file_size(r->file));
}

int repair_take(struct repair *r, uint64_t nr, uint64_t *host, struct err *e)
{
	uint64_t len = nr << r->geom.cluster_bits;

	next_find(r);
	*host = r->next;
	if (*host + len > HOST_OFFSET_MAX || (!can_grow(r) && *host + len > file_size(r->file)))
		return err_set(e, ERR_IO,
			       "no space for %" PRIu64 " new clusters behind offset %#" PRIx64, nr,
			       r->next);
	if (can_grow(r) && limit(r) < *host + len)
		return err_set(e, ERR_CORRUPT,
			       "the repair needs new clusters, but the file must not grow: a structure "
			       "leads to offset %#" PRIx64 ", near or behind its end",
			       limit(r));
	r->next += len;
	return 0;
}
