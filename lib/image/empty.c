#include "image/empty.h"

#include "base/align.h"
#include "image/writer_internal.h"

/* Guest clusters of the data file are not counted anywhere: what nobody points to can go at once. */
static int data_file_empty(struct image_writer *w, struct err *e)
{
	struct file *f = w->img->data_file;
	uint64_t size;

	if (!f)
		return 0;
	size = file_size(f);
	if (file_truncate(f, 0, e) < 0 || file_truncate(f, size, e) < 0 || file_flush(f, e) < 0)
		return file_failed_as_data(f, e);
	return 0;
}

/* L1 entry by L1 entry, where snapshots or bitmaps own clusters, too. Each commit leaves an image in
 * order, so that one that was cut short has only less left to do. */
static int tree_release(struct image_writer *w, struct err *e)
{
	uint64_t end;

	if (image_writer_counts_check(w, NULL, e) < 0)
		return -1;
	image_writer_punch(w);
	for (uint32_t i = 0; i < w->disk->map.l1_nr; i++)
		if (writer_l1_clear(w, i, e) < 0 || image_writer_relax(w, e) < 0)
			return -1;
	if (txn_finish(w->txn, e) < 0 || txn_image_end(w->txn, &end, e) < 0)
		return -1;
	if (end >= file_size(w->img->file) || !file_is_regular(w->img->file))
		return 0;
	return file_truncate(w->img->file, end, e) < 0 ? -1 : file_flush(w->img->file, e);
}

int image_empty(struct image_writer *w, struct err *e)
{
	bool done = false;

	if (txn_can_restart(w->txn) && txn_restart(w->txn, &done, e) < 0)
		return -1;
	/* What the disk reads as does not change, so bitmaps remain true. */
	if (!done && (txn_begin(w->txn, AUTOCLEAR_BITMAPS, e) < 0 || tree_release(w, e) < 0))
		return -1;
	return data_file_empty(w, e);
}
