/* Where a repair puts what is new. Counts cannot be trusted, and what nobody refers to may be data
 * of something that cannot be read: only what lies behind the end of the file is surely free. Where the
 * file must not grow, and all counts of clusters in use were there, what is counted as free will do. */
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

static bool is_snapshots(const struct finding *f)
{
	return f->owner == FINDING_SNAPSHOT || f->kind == PROBLEM_SNAPSHOT_L1_OUT_OF_FILE ||
	       f->kind == PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE;
}

/* A structure that leads out of the file and stays as it is: if the file grew over its place, it
 * would seem to be there, and empty. */
void repair_outside_note(struct repair *r, const struct finding *f)
{
	if (f->kind == PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE && f->host < file_size(r->file)) {
		r->snapshots_cut = r->outside_stays = true;
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
		/* Entries go before anything is written behind the file. */
		r->outside_stays |= !f->guest_len;
		if (f->has_host && !is_snapshots(f))
			r->outside_else = MIN(r->outside_else, f->host);
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

/* --- in the file --- */

static bool is_free(struct repair *r, uint64_t cluster)
{
	struct check *c = &r->check;

	return !bit_at(c->metadata, cluster) && !counts_get(&c->expected, cluster) &&
	       !check_count_unknown(c, cluster) && !check_stored(c, cluster);
}

/* The first of nr free clusters that follow each other, of those that nobody took in this round. */
static bool free_find(struct repair *r, uint64_t nr, uint64_t *first)
{
	uint64_t run = 0, at = MAX(r->next_inside, 1);

	if (!r->counts_sound)
		return false;
	for (; at < r->check.clusters && run < nr; at++)
		run = is_free(r, at) ? run + 1 : 0;
	*first = at - run;
	return run == nr;
}

static bool can_append(struct repair *r, uint64_t len)
{
	next_find(r);
	return r->next + len <= HOST_OFFSET_MAX &&
	       r->next + len <= (can_grow(r) ? limit(r) : file_size(r->file));
}

bool repair_can_take(struct repair *r, uint64_t nr)
{
	uint64_t first;

	return can_append(r, nr << r->geom.cluster_bits) || free_find(r, nr, &first);
}

/* Why there is no room for them. */
static int no_room(const struct repair *r, uint64_t nr, struct err *e)
{
	uint64_t len = nr << r->geom.cluster_bits;
	bool helps = !r->options->drop_snapshots && r->next + len <= r->outside_else;

	if (r->next + len > HOST_OFFSET_MAX || !can_grow(r))
		return err_set(e, ERR_IO,
			       "no space for %" PRIu64 " new clusters behind offset %#" PRIx64, nr,
			       r->next);
	return err_set(e, ERR_CORRUPT,
		       "the repair needs new clusters, but the file must not grow: a structure leads to "
		       "offset %#" PRIx64 ", near or behind its end%s",
		       limit(r), helps ? "; --drop-snapshots gives it up" : "");
}

int repair_take(struct repair *r, uint64_t nr, uint64_t *host, struct err *e)
{
	uint64_t len = nr << r->geom.cluster_bits, first;

	if (can_append(r, len)) {
		*host = r->next;
		r->next += len;
		return 0;
	}
	if (!free_find(r, nr, &first))
		return no_room(r, nr, e);
	*host = first << r->geom.cluster_bits;
	r->next_inside = first + nr;
	return 0;
}
