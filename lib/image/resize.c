/* The length of an image's disk (17): what may be asked for, and what both directions share. */
#include "image/resize_internal.h"

#include <inttypes.h>

#include "base/align.h"
#include "base/text.h"

static int size_check(const struct resize *z, struct err *e)
{
	const struct geom *g = &z->img->geom;

	if (z->size % SECTOR_SIZE)
		return err_set(e, ERR_INVALID, "The new size must be a multiple of %d: %" PRIu64,
			       SECTOR_SIZE, z->size);
	if (z->size > FILE_OFFSET_MAX - CLUSTER_SIZE_MAX ||
	    geom_l1_entries(g, z->size) * 8 > L1_BYTES_MAX)
		return err_set(e, ERR_INVALID,
			       "the new size, %" PRIu64
			       " bytes, is too large for clusters of %" PRIu64 " bytes",
			       z->size, geom_cluster_size(g));
	return 0;
}

/* A snapshot that does not say how large its disk was has the size of the disk as it is (8.1). All of
 * them do once version 2 has become 3. */
static int snapshots_check(const struct resize *z, bool upgraded, struct err *e)
{
	const struct snapshot_entry *s;
	uint32_t nr;

	if (image_snapshots(z->img, &s, &nr, e) < 0)
		return -1;
	if (upgraded && z->img->geom.version < 3)
		return 0;
	if (nr && z->img->geom.version < 3)
		return err_set(e, ERR_UNSUPPORTED,
			       "Can't resize a version 2 image that has snapshots; amend -o "
			       "compat=1.1 makes it version 3");
	for (uint32_t i = 0; i < nr; i++) {
		char shown[64];

		if (!s[i].has_disk_size)
			return err_set(e, ERR_UNSUPPORTED,
				       "the snapshot '%s' does not say how large its disk is",
				       text_escape(s[i].name.p, s[i].name.n, shown,
						   sizeof shown));
	}
	return 0;
}

static int image_check(const struct resize *z, struct err *e)
{
	const struct header *h = &z->img->header;
	uint64_t l1_end = h->l1_table_off + h->l1_size * UINT64_C(8);

	/* The rest of the cluster that the disk ends in becomes zeros, and its beginning comes from
	 * there. */
	if (z->size > z->old_size && z->backing_end == BACKING_END_UNKNOWN &&
	    z->old_size % image_writer_unit(z->w))
		return err_set(e, ERR_INVALID,
			       "the disk ends inside a cluster: it can't grow while the backing "
			       "file is not open");
	/* What the file has lost must not pass for nothing. */
	if (h->l1_size && align_down(l1_end - 1, geom_cluster_size(&z->img->geom)) >=
				  file_size(z->img->file))
		return err_set(e, ERR_CORRUPT,
			       "the L1 table at %#" PRIx64 " reaches past the end of the file",
			       h->l1_table_off);
	return 0;
}

void resize_take_size(struct resize *z)
{
	z->img->geom.disk_size = z->disk->size = z->size;
	z->disk->map = image_map(z->img);
	z->w->l1_idx = UINT64_MAX; /* the table at hand may be another one */
}

int resize_commit_size(struct resize *z, struct err *e)
{
	struct header *h = &z->img->header;
	unsigned fields = HEADER_SIZE;

	h->size = z->size;
	if (z->bitmaps) {
		h->autoclear_features |= AUTOCLEAR_BITMAPS;
		fields |= HEADER_FEATURES;
	}
	txn_header(z->w->txn, fields);
	return txn_commit(z->w->txn, e);
}

/* A name that is not opened leads to a file of unknown length. */
static uint64_t backing_end(const struct disk *d)
{
	if (d->backing)
		return d->backing->size;
	return d->image->backing_name ? BACKING_END_UNKNOWN : 0;
}

static int resize_run(struct resize *z, struct err *e)
{
	uint64_t keep = AUTOCLEAR_DATA_FILE_RAW | (z->bitmaps ? AUTOCLEAR_BITMAPS : 0);

	if (txn_begin(z->w->txn, keep, e) < 0)
		return -1;
	z->w->begun = true; /* bitmaps follow the disk by themselves: nothing is marked */
	return z->size > z->old_size ? resize_grow(z, e) : resize_shrink(z, e);
}

static struct resize resize_of(struct disk *d, const struct resize_options *o,
			       struct image_writer *w)
{
	const struct header *h = &d->image->header;

	return (struct resize){
		.disk = d,
		.img = d->image,
		.w = w,
		.old_size = d->size,
		.size = o->size,
		.preallocation = o->preallocation,
		.backing_end = backing_end(d),
		.bitmaps = h->has_bitmaps_ext && (h->autoclear_features & AUTOCLEAR_BITMAPS),
	};
}

static int options_check(const struct resize *z, bool upgraded, struct err *e)
{
	if (z->preallocation != PREALLOCATION_OFF && z->size <= z->old_size)
		return err_set(e, ERR_INVALID, "Preallocation can only be used for growing images");
	if (size_check(z, e) < 0)
		return -1;
	return z->size == z->old_size ? 0 : snapshots_check(z, upgraded, e);
}

static int tables_check(struct resize *z, struct err *e)
{
	if (image_check(z, e) < 0)
		return -1;
	return z->bitmaps ? resize_bitmaps_check(z, e) : 0;
}

int image_resize_check(struct disk *d, const struct resize_options *o, struct image_writer *w,
		       bool upgraded, struct err *e)
{
	struct resize z = resize_of(d, o, w);

	if (options_check(&z, upgraded, e) < 0)
		return -1;
	return z.size == z.old_size ? 0 : tables_check(&z, e);
}

int image_resize(struct disk *d, const struct resize_options *o, const struct listener *l,
		 const struct watch *watch, struct err *e)
{
	struct resize z = resize_of(d, o, NULL);
	int ret = -1;

	if (options_check(&z, false, e) < 0)
		return -1;
	if (z.size == z.old_size)
		return 0;
	z.watch = watch;
	z.w = image_writer_new(d, l, watch, e);
	if (z.w && tables_check(&z, e) == 0 &&
	    (z.size < z.old_size || image_writer_few_check(z.w, watch, e) == 0))
		ret = resize_run(&z, e);
	image_writer_free(z.w);
	return ret;
}
