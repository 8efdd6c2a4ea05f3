#include "ops/measure.h"

#include "base/align.h"
#include "base/overflow.h"
#include "base/text.h"
#include "image/bitmaps.h"
#include "image/image.h"

/* Rounds the size of the disk up to sectors, as creating it would. */
static int size_round(uint64_t size, uint64_t *rounded, struct err *e)
{
	if (ovf_add(size, SECTOR_SIZE - 1, rounded) || *rounded > FILE_OFFSET_MAX)
		return err_set(e, ERR_INVALID,
			       "a disk of %llu bytes is too large",
			       (unsigned long long)size);
	*rounded = align_down(*rounded, SECTOR_SIZE);
	return 0;
}

/* Bytes of the target's clusters that hold something. The source's extents know nothing of
 * the target's clusters: one that ends inside a cluster has paid for all of it, so that
 * counting goes on behind that cluster. */
static int count_data(struct disk *d, uint64_t cluster_size, const struct watch *w,
		      uint64_t *data_len, struct err *e)
{
	uint64_t size = disk_size(d), paid = 0; /* clusters below `paid` bytes are counted */

	*data_len = 0;
	for (uint64_t at = 0; at < size;) {
		struct extent x;

		if (watch_stopped(w, e) < 0)
			return -1;
		if (disk_next(d, at, size - at, &x, e) < 0)
			return err_ctx(e, "the map of '%s'", disk_name(d));
		watch_progress(w, at, size);
		at += x.len;
		if (x.reads_zero || at <= paid)
			continue;
		uint64_t first = MAX(paid, align_down(x.guest, cluster_size));

		paid = align_up(at, cluster_size);
		*data_len += paid - first;
	}
	watch_progress(w, size, size);
	return 0;
}

/* A bitmap's data and its table, each in clusters of their own (18). The sum of all stays small by the
 * bound on each. */
static int bitmap_add_len(const struct bitmap_entry *b, uint64_t disk_len, unsigned cluster_bits,
			  uint64_t *len, struct err *e)
{
	uint64_t cluster_size = UINT64_C(1) << cluster_bits;
	uint64_t bytes = div_up(div_up(disk_len, UINT64_C(1) << b->granularity_bits), 8);
	uint64_t clusters = div_up(bytes, cluster_size);
	char shown[128];

	if (!bitmap_fits(disk_len, b->granularity_bits, cluster_bits))
		return err_set(e, ERR_CORRUPT, "bitmap '%s': for this disk it would hold more than 512 MiB",
			       text_escape(b->name.p, b->name.n, shown, sizeof shown));
	*len += clusters * cluster_size + align_up(clusters * 8, cluster_size);
	return 0;
}

/* Bitmaps that were in use when their writer went away are worth nothing and not copied. */
static int count_bitmaps(struct disk *d, struct image *img, unsigned cluster_bits,
			 uint64_t *len, struct err *e)
{
	uint64_t directory_len = 0;
	struct bytes directory;

	*len = 0;
	if (image_bitmaps(img, &directory, e) < 0)
		return -1;
	struct rd r = rd_over(directory.p, directory.n);

	while (rd_left(&r)) {
		struct bitmap_entry b;

		if (bitmap_entry_decode(&r, &b, e) < 0)
			return err_ctx(e, "bitmap directory");
		if (b.flags & BITMAP_IN_USE)
			continue;
		if (bitmap_add_len(&b, disk_size(d), cluster_bits, len, e) < 0)
			return -1;
		directory_len += bitmap_entry_len(&b);
	}
	*len += align_up(directory_len, UINT64_C(1) << cluster_bits);
	return 0;
}

static int measure_qcow2(const struct create_options *o, uint64_t data_len, struct measure *m,
			 struct err *e)
{
	struct create_measure file;

	if (create_measure(o, data_len, &file, e) < 0)
		return -1;
	m->required = file.required;
	m->fully_allocated = file.fully_allocated;
	return 0;
}

int measure_new(const struct measure_target *t, struct measure *m, struct err *e)
{
	struct create_options o = t->create;

	*m = (struct measure){ 0 };
	if (size_round(t->create.size, &o.size, e) < 0)
		return -1;
	m->required = m->fully_allocated = o.size;
	if (t->format != FORMAT_QCOW2)
		return 0;
	if (create_check(&o, e) < 0)
		return -1;
	/* The formula takes a backing file for something that will be copied in part; a new
	 * overlay holds nothing at all. */
	o.backing_name = o.backing_format = NULL;
	return measure_qcow2(&o, 0, m, e);
}

int measure_copy(struct disk *d, const struct measure_target *t, const struct watch *w,
		 struct measure *m, struct err *e)
{
	struct create_options o = t->create;
	uint64_t cluster_size = UINT64_C(1) << o.cluster_bits, data_len = 0;
	struct image *img = disk_image(d, 0);

	o.size = disk_size(d);
	*m = (struct measure){ .required = o.size, .fully_allocated = o.size };
	if (t->format != FORMAT_QCOW2)
		return 0;
	/* First without any data: a target that cannot be is refused before the source is
	 * walked. */
	if (measure_qcow2(&o, 0, m, e) < 0)
		return -1;
	if (!o.backing_name && count_data(d, cluster_size, w, &data_len, e) < 0)
		return -1;
	if (measure_qcow2(&o, data_len, m, e) < 0)
		return -1;

	/* Version 2 has no room to say that bitmaps are valid. */
	m->has_bitmaps = img && image_header(img)->version >= 3 && o.version >= 3;
	return m->has_bitmaps ? count_bitmaps(d, img, o.cluster_bits, &m->bitmaps, e) : 0;
}
