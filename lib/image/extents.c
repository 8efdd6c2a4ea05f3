/* What a qcow2 image holds, as one layer of a disk. */
#include "image/internal.h"

#include "base/align.h"

static enum extent_kind extent_kind_of(enum cluster_kind kind)
{
	switch (kind) {
	case CLUSTER_ZERO:
	case CLUSTER_ZERO_HOST:
		return EXTENT_ZERO;
	case CLUSTER_DATA:
		return EXTENT_DATA;
	case CLUSTER_PACKED:
		return EXTENT_PACKED;
	default:
		return EXTENT_ABSENT;
	}
}

/* The file may end inside its last cluster (4.4), and what was preallocated may lie past its
 * end by that much, but no further. */
uint64_t disk_host_end(const struct disk *d)
{
	return align_up(file_size(image_guest_file(d->image)), geom_cluster_size(&d->image->geom));
}

/* Looks whether the data at x lies in a hole of the file. What lies behind its end is no hole:
 * it is lost, and reading it must say so. */
static void data_find(struct disk *d, struct extent *x)
{
	uint64_t end = disk_host_end(d);
	bool is_data;

	x->cut_off = x->host >= end;
	if (x->cut_off)
		return;
	x->len = MIN(x->len, end - x->host);
	if (!(d->flags & DISK_HOLES))
		return;
	disk_hole_next(d, x->host, x->len, &is_data, &x->len);
	x->reads_zero = !is_data;
}

static int image_next(struct disk *d, uint64_t guest, uint64_t max_len, struct extent *x,
		      struct err *e)
{
	struct map_run run;

	if (map_next(&d->map, guest, max_len, &run, e) < 0) {
		x->len = run.len;
		return -1;
	}
	*x = (struct extent){
		.guest = guest,
		.len = run.len,
		.host = run.host,
		.kind = extent_kind_of(run.kind),
		.has_host = run.kind == CLUSTER_DATA || run.kind == CLUSTER_ZERO_HOST,
		.encrypted = image_is_encrypted(d->image),
		.reads_zero = run.kind != CLUSTER_DATA && run.kind != CLUSTER_PACKED,
	};
	if (x->kind == EXTENT_DATA && image_guest_file(d->image))
		data_find(d, x);
	return 0;
}

const struct disk_ops disk_image_ops = { .next = image_next };

int disk_top_is_silent(struct disk *d, uint64_t guest, uint64_t n, bool *silent, struct err *e)
{
	struct map_run run;

	*silent = d->image != NULL;
	for (; *silent && n; guest += run.len, n -= run.len) {
		if (map_next(&d->map, guest, n, &run, e) < 0)
			return -1;
		*silent = run.kind == CLUSTER_ABSENT;
	}
	return 0;
}

int disk_is_blank(struct disk *d, bool *blank, struct err *e)
{
	const struct header *h = d->image ? &d->image->header : NULL;

	*blank = h && !h->nb_snapshots && !h->has_bitmaps_ext;
	return *blank ? disk_top_is_silent(d, 0, d->size, blank, e) : 0;
}

void disk_never_flush(struct disk *d)
{
	file_never_flush(d->image->file);
	if (d->image->data_file)
		file_never_flush(d->image->data_file);
}
