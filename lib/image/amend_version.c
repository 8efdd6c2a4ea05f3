/* Another version of the format. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "format/snapshot_entry.h"
#include "image/amend.h"
#include "image/writer_internal.h"

#define KEPT_UP (AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW)

/* The header that is in force with what the txn holds, changed by `version`. */
static int header_switch(struct image_writer *w, unsigned version, struct err *e)
{
	AUTO_FREE uint8_t *bytes = malloc((size_t)geom_cluster_size(writer_geom(w)));
	struct header h = w->img->header;

	if (!bytes)
		return err_nomem(e);
	h.version = version;
	if (version < 3) {
		h.incompatible_features = h.compatible_features = h.autoclear_features = 0;
		h.compression_type = COMPRESSION_ZLIB;
		h.has_bitmaps_ext = false;
		h.unknown_fields = (struct bytes){ NULL, 0 };
	}
	h.autoclear_features &= AUTOCLEAR_KNOWN;
	if (header_encode(bytes, &h, e) < 0)
		return -1;
	txn_header_replace(w->txn, steal(&bytes));
	return txn_finish(w->txn, e);
}

/* Version 3 says how long each snapshot's disk is (8.1). */
static int snapshots_extend(struct image_writer *w, struct err *e)
{
	AUTO_FREE struct snapshot_entry *all = NULL;
	const struct snapshot_entry *is = w->img->snapshots;
	uint32_t nr = w->img->snapshot_nr;
	bool complete = true;

	for (uint32_t i = 0; i < nr; i++)
		complete &= is[i].has_disk_size;
	if (complete)
		return 0;
	all = calloc(nr, sizeof *all);
	if (!all)
		return err_nomem(e);
	for (uint32_t i = 0; i < nr; i++) {
		all[i] = is[i];
		if (all[i].has_disk_size)
			continue;
		all[i].has_disk_size = true;
		all[i].disk_size = w->disk->size;
	}
	return writer_snapshot_table(w, all, nr, e);
}

int image_amend_upgrade(struct image_writer *w, const struct watch *watch, struct err *e)
{
	struct zero_marks z;

	if (writer_geom(w)->version >= 3)
		return 0;
	/* A flag that nothing can read now would mean zeros. */
	if (zero_marks_count(w, w->img->header.size, watch, &z, e) < 0)
		return -1;
	return snapshots_extend(w, e) < 0 ? -1 : header_switch(w, 3, e);
}

static int refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "compat=0.10 is not possible: %s", why);
}

/* Where a disk ends inside a sector, some writers round it for a snapshot. */
static bool is_disk_size(uint64_t size, uint64_t disk)
{
	return size == disk || (size >= align_down(disk, SECTOR_SIZE) &&
				size <= align_up(disk, SECTOR_SIZE));
}

/* size: what the disk will have by then. */
static int snapshots_check(const struct image_writer *w, uint64_t size, struct err *e)
{
	for (uint32_t i = 0; i < w->img->snapshot_nr; i++) {
		const struct snapshot_entry *s = &w->img->snapshots[i];

		if (s->vm_state_len > UINT32_MAX)
			return refuse(e, "a snapshot's machine state is 4 GiB or larger");
		if (s->has_disk_size && !is_disk_size(s->disk_size, size))
			return refuse(e, size == w->img->header.size
						 ? "the disk of a snapshot has another size than "
						   "the disk has now"
						 : "the disk of a snapshot has another size than "
						   "the disk would have");
	}
	return 0;
}

/* Of an image of version 3; *z: the marks that there are. */
static int downgrade_judge(struct image_writer *w, const struct amend_before_v2 *b,
			   const struct watch *watch, struct zero_marks *z, struct err *e)
{
	const struct header *h = &w->img->header;
	struct watch_part marks, counts;

	if (b->refcount_order != 4)
		return refuse(e, "refcounts have to be 16 bits wide (refcount_bits=16)");
	if (writer_geom(w)->subclusters)
		return refuse(e, "the image has extended L2 entries");
	if (h->incompatible_features & INCOMPATIBLE_DATA_FILE)
		return refuse(e, "the image has an external data file");
	if (h->has_bitmaps_ext && !b->bitmaps_go)
		return refuse(e, "the image has bitmaps; --force drops them");
	if (snapshots_check(w, b->size, e) < 0 ||
	    zero_marks_count(w, b->size, watch_part_of(&marks, watch, 0, 1, 2), z, e) < 0)
		return -1;
	if (h->compression_type != COMPRESSION_ZLIB && z->packed)
		return refuse(e, "clusters of the disk or of a snapshot are compressed with zstd");
	/* The counts say what may become zeros where it is, and what is free. */
	return z->marks ? image_writer_counts_check(w, watch_part_of(&counts, watch, 1, 2, 2), e) : 0;
}

int image_amend_downgrade_check(struct image_writer *w, const struct amend_before_v2 *b,
				const struct watch *watch, struct err *e)
{
	struct zero_marks z;

	return writer_geom(w)->version < 3 ? 0 : downgrade_judge(w, b, watch, &z, e);
}

/* Fields and feature bits that later versions of the format may have, and that may be ignored (2.4);
 * extensions are kept. */
static void loss_warn(const struct image_writer *w)
{
	const struct header *h = &w->img->header;
	bool fields = false;

	for (size_t i = 0; i < h->unknown_fields.n; i++)
		fields |= h->unknown_fields.p[i] != 0;
	if (fields || h->compatible_features & ~COMPATIBLE_KNOWN)
		warn_to(w->listener, "%s of the header that are not known here are dropped: version 2 "
				     "has no place for them",
			fields ? "fields" : "compatible feature bits");
}

int image_amend_downgrade(struct image_writer *w, const struct watch *watch, struct err *e)
{
	struct amend_before_v2 now = { w->img->header.size, w->img->header.refcount_order, false };
	struct zero_marks z;
	struct watch_part judge, expand;

	if (writer_geom(w)->version < 3)
		return 0;
	if (downgrade_judge(w, &now, watch_part_of(&judge, watch, 0, 1, 3), &z, e) < 0 ||
	    txn_begin(w->txn, KEPT_UP, e) < 0 ||
	    (z.marks && zero_marks_expand(w, watch_part_of(&expand, watch, 1, 3, 3), e) < 0))
		return -1;
	loss_warn(w);
	return header_switch(w, 2, e);
}
