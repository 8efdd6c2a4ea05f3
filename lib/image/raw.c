/* A raw file as a disk: what lies in it is the disk. */
#include "image/internal.h"

#include <string.h>

#include "base/align.h"

/* Holes end where the file system likes; guests count in sectors. A sector that is partly data
 * is data. */
void disk_hole_next(struct disk *d, uint64_t host, uint64_t max_len, bool *is_data,
		    uint64_t *len)
{
	hole_map_next(&d->holes, host, max_len, is_data, len);
	if (*len == max_len || (d->flags & DISK_HOLES_IF_SPARSE))
		return;
	if (!*is_data && *len >= SECTOR_SIZE) {
		*len = align_down(*len, SECTOR_SIZE);
		return;
	}
	*is_data = true;
	*len = MIN(align_up(*len, SECTOR_SIZE), max_len);
}

static int raw_next(struct disk *d, uint64_t guest, uint64_t max_len, struct extent *x,
		    struct err *e)
{
	bool is_data = true;
	uint64_t len = max_len;

	if (d->flags & DISK_HOLES)
		disk_hole_next(d, d->window_off + guest, max_len, &is_data, &len);
	*x = (struct extent){
		.guest = guest,
		.len = len,
		.host = d->window_off + guest,
		.kind = is_data ? EXTENT_DATA : EXTENT_ZERO,
		.has_host = true,
		.reads_zero = !is_data,
	};
	return 0;
}

int disk_read_raw(struct disk *d, uint64_t guest, void *buf, size_t n, struct err *e)
{
	uint64_t at = d->window_off + guest, end = file_size(d->file);
	size_t inside = at < end ? (size_t)MIN((uint64_t)n, end - at) : 0;

	/* The disk's last sector may be longer than the file; everything else must be there. */
	if (inside && file_read_at(d->file, at, buf, inside, e) < 0)
		return -1;
	memset((char *)buf + inside, 0, n - inside);
	return 0;
}

const struct disk_ops disk_raw_ops = { .next = raw_next };
