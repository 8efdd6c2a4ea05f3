/* Writes a proposal: what the header leads to first. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "io/file_undo.h"
#include "ops/repair_undo.h"
#include "ops/rebuild_internal.h"

#define CHUNK_ENTRIES ((uint32_t)8192)

/* L2 tables that a snapshot has, too, are nobody's alone. */
static void claims_clear(uint8_t *entries, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		be64_put(entries + 8 * i, be64_get(entries + 8 * i) & ~ENTRY_COPIED);
}

int rebuild_l1_write(struct file *from, struct file *to, const struct rebuild *r, struct err *e)
{
	const struct header *h = &r->header;
	uint64_t size = UINT64_C(1) << h->cluster_bits;
	uint64_t room = align_up(MAX(h->l1_size, 1) * UINT64_C(8), size);
	AUTO_FREE uint8_t *chunk = NULL;

	if (!r->l1_is_new)
		return 0;
	chunk = calloc(CHUNK_ENTRIES, 8);
	if (!chunk)
		return err_nomem(e);
	/* The end first, so that the table is whole clusters. */
	if (file_write_at(to, h->l1_table_off + room - 8, chunk, 8, e) < 0)
		return -1;
	for (uint32_t i = 0, n; i < r->l1_copied_nr; i += n) {
		n = MIN(CHUNK_ENTRIES, r->l1_copied_nr - i);
		if (file_read_padded(from, r->l1_copied_from + i * UINT64_C(8), chunk, n * 8, NULL,
				     e) < 0)
			return -1;
		claims_clear(chunk, n);
		if (file_write_at(to, h->l1_table_off + i * UINT64_C(8), chunk, n * 8, e) < 0)
			return -1;
	}
	return 0;
}

int rebuild_apply(struct file **f, const struct rebuild_options *o, struct rebuild *r,
		  struct err *e)
{
	struct repair_noted noted = { 0 };
	struct file *undo;

	if (o->undo) {
		undo = repair_undo_make(o->undo, o->write_flags, *f, e);
		if (!undo)
			return -1;
		*f = file_undo_new(*f, undo, e);
		if (!*f)
			return -1;
	}
	if (rebuild_l1_write(*f, *f, r, e) < 0 || file_flush(*f, e) < 0)
		return -1;
	if (file_write_at(*f, 0, r->bytes, r->len, e) < 0 || file_flush(*f, e) < 0)
		return -1;
	r->written = true;
	int ret = repair_note(*f, &r->header, &noted, e);

	repair_noted_fini(&noted);
	return ret;
}
