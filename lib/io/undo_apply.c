/* Puts back what an undo file holds. */
#include <stdlib.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "io/file_undo.h"
#include "io/undo_read.h"

static int put_back(const struct undo_read *u, struct file *image, uint8_t *buf,
		    struct err *e)
{
	for (size_t i = 0; i < u->old_nr; i++) {
		const struct undo_record *r = &u->old[i].record;

		if (r->kind == UNDO_ZEROS) {
			if (file_zero(image, r->off, r->len, FILE_ZERO_PUNCH, e) < 0)
				return -1;
		} else if (undo_read_old(u, &u->old[i], r->off, buf, (size_t)r->len, e) <
				   0 ||
			   file_write_at(image, r->off, buf, (size_t)r->len, e) < 0) {
			return -1;
		}
	}
	/* Until all is what it was something may lead to what is cut off. */
	if (file_flush(image, e) < 0)
		return -1;
	if (file_size(image) != u->old_size && file_truncate(image, u->old_size, e) < 0)
		return -1;
	return file_flush(image, e);
}

int file_undo_apply(struct file *undo, struct file *image, struct file_undo_applied *result,
		    struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(UNDO_RECORD_MAX);
	struct undo_read u;
	int ret;

	*result = (struct file_undo_applied) { 0 };
	if (!buf)
		return err_nomem(e);
	ret = undo_read_open(&u, undo, e);
	result->no_undo_file = ret < 0;
	if (ret == 0)
		ret = undo_judge(&u, image, e);
	if (ret == 0)
		ret = put_back(&u, image, buf, e);
	for (size_t i = 0; ret == 0 && i < u.old_nr; i++)
		result->bytes += u.old[i].record.len;
	result->torn = u.torn;
	undo_read_fini(&u);
	return ret;
}
