/* A qcow2 image as one layer of a disk. */
#include "image/internal.h"

#include <string.h>

#include "base/align.h"
#include "image/reader.h"

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

/* Behind this host byte there is nothing to read: the file may end inside its last cluster
 * (4.4), and what was preallocated may lie past its end by that much, but no further. */
static uint64_t host_end(struct disk *d)
{
	return align_up(file_size(image_guest_file(d->image)), geom_cluster_size(&d->image->geom));
}

/* Looks whether the data at x lies in a hole of the file. What lies behind its end is no hole:
 * it is lost, and reading it must say so. */
static void hole_find(struct disk *d, struct extent *x)
{
	uint64_t end = host_end(d), len = x->len;
	bool is_data;

	if (x->host >= end)
		return;
	disk_hole_next(d, x->host, MIN(len, end - x->host), &is_data, &x->len);
	x->reads_zero = !is_data;
}

static int image_next(struct disk *d, uint64_t guest, uint64_t max_len, struct extent *x,
		      struct err *e)
{
	struct map_run run;

	if (map_next(&d->map, guest, max_len, &run, e) < 0)
		return -1;
	*x = (struct extent){
		.guest = guest,
		.len = run.len,
		.host = run.host,
		.kind = extent_kind_of(run.kind),
		.has_host = run.kind == CLUSTER_DATA || run.kind == CLUSTER_ZERO_HOST,
		.reads_zero = run.kind != CLUSTER_DATA && run.kind != CLUSTER_PACKED,
	};
	if (x->kind == EXTENT_DATA && (d->flags & DISK_HOLES))
		hole_find(d, x);
	return 0;
}

/* Guest data at a host place. */
static int data_read(struct disk *d, uint64_t host, void *buf, size_t n, struct err *e)
{
	struct file *f = image_guest_file(d->image);
	size_t inside, got;

	if (!f)
		return err_set(e, ERR_INVALID, "the external data file is not open");
	if (host + n > host_end(d))
		return err_set(e, ERR_CORRUPT,
			       "data at host offset %#llx lies past the end of the file",
			       (unsigned long long)host);
	if (file_read_padded(f, host, buf, n, &got, e) < 0)
		return -1;
	inside = host < file_size(f) ? (size_t)MIN((uint64_t)n, file_size(f) - host) : 0;
	if (got < inside)
		return err_set(e, ERR_IO, "unexpected end of file at offset %llu",
			       (unsigned long long)(host + got));
	return 0;
}

static int image_read(struct disk *d, struct disk_reader *r, uint64_t guest, void *buf,
		      size_t n, size_t *done, bool *absent, struct err *e)
{
	struct map_run run;
	size_t len;

	if (map_next(&d->map, guest, n, &run, e) < 0)
		return -1;
	*done = len = (size_t)run.len;
	*absent = run.kind == CLUSTER_ABSENT;
	if (run.kind == CLUSTER_DATA)
		return data_read(d, run.host, buf, len, e);
	if (run.kind == CLUSTER_ZERO || run.kind == CLUSTER_ZERO_HOST)
		memset(buf, 0, len);
	if (run.kind == CLUSTER_PACKED)
		return reader_unpack(r, d, guest, &run, buf, n, done, e);
	return 0;
}

int disk_read_host(struct disk *d, uint64_t host, void *buf, size_t n, struct err *e)
{
	return data_read(d, host, buf, n, e);
}

const struct disk_ops disk_image_ops = { .next = image_next, .read = image_read };
