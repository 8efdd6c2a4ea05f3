/* Reads an undo file into lists of its records. */
#include "io/undo_read.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "base/vec.h"

static int header_read(struct undo_read *u, struct err *e)
{
	const uint8_t *p = u->header;
	uint64_t size = file_size(u->file);

	if (!size)
		return err_set(e, ERR_INVALID,
			       "it is empty: nothing was changed before it was begun");
	if (file_read_padded(u->file, 0, u->header, sizeof u->header, NULL, e) < 0)
		return -1;
	if (memcmp(p, UNDO_MAGIC, 8) != 0)
		return err_set(e, ERR_INVALID, "not an undo file");
	if (be32_get(p + UNDO_HEADER - 4) != undo_crc(p, UNDO_HEADER - 4))
		return err_set(e, ERR_INVALID, "its header is damaged");
	if (be32_get(p + 8) != UNDO_VERSION)
		return err_set(
			e, ERR_UNSUPPORTED,
			"it is of version %u, which does not tell whether the image was changed since",
			be32_get(p + 8));
	u->sample_nr = be32_get(p + 12);
	u->old_size = be64_get(p + 16);
	if (u->sample_nr > UNDO_SAMPLES || u->old_size > INT64_MAX)
		return err_set(e, ERR_INVALID, "its header is damaged");
	for (uint32_t i = 0; i < u->sample_nr; i++)
		if (be32_get(undo_read_sample(u, i) + 8) > UNDO_SAMPLE_BYTES)
			return err_set(e, ERR_INVALID, "its header is damaged");
	u->size = u->size_min = u->size_max = u->old_size;
	return 0;
}

static int span_add(struct undo_span **list, size_t *nr, size_t *room,
		    const struct undo_span *s, struct err *e)
{
	if (!vec_grow(list, *nr, room))
		return err_nomem(e);
	(*list)[(*nr)++] = *s;
	return 0;
}

static int length_take(struct undo_read *u, const struct undo_record *r, struct err *e)
{
	uint64_t low = MIN(r->off, r->len);

	u->size_min = MIN(u->size_min, low);
	u->size_max = MAX(u->size_max, r->off);
	if (low < u->size) {
		if (!vec_grow(&u->cuts, u->cuts_nr, &u->cuts_room))
			return err_nomem(e);
		u->cuts[u->cuts_nr++] = (struct undo_cut) { r->nr, low };
	}
	u->size = r->off;
	return 0;
}

static int record_take(struct undo_read *u, const struct undo_span *s, struct err *e)
{
	const struct undo_record *r = &s->record;

	switch (r->kind) {
	case UNDO_BYTES:
	case UNDO_ZEROS:
		return span_add(&u->old, &u->old_nr, &u->old_room, s, e);
	case UNDO_WRITTEN:
		return span_add(&u->written, &u->written_nr, &u->written_room, s, e);
	case UNDO_NOTES:
		return span_add(&u->notes, &u->notes_nr, &u->notes_room, s, e);
	case UNDO_LENGTH:
		return length_take(u, r, e);
	default:
		u->done = true;
		u->size_min = u->size_max = r->off;
		return 0;
	}
}

/* 1: a whole record; 0: the list ends here. */
static int record_next(struct undo_read *u, uint64_t at, uint64_t nr, struct undo_span *s,
		       uint8_t *buf, struct err *e)
{
	uint8_t head[UNDO_RECORD];
	struct undo_record *r = &s->record;

	if (file_read_padded(u->file, at, head, sizeof head, NULL, e) < 0)
		return -1;
	if (u->done || !undo_record_decode(head, r) || r->nr != nr ||
	    (r->kind <= UNDO_ZEROS && r->off + r->len > u->old_size))
		return 0;
	s->at = at + sizeof head;
	size_t n = undo_record_body(r);

	if (file_read_padded(u->file, s->at, buf, n, NULL, e) < 0)
		return -1;
	return !n || undo_crc(buf, n) == r->crc;
}

static int in_order(const void *a, const void *b)
{
	const struct undo_record *x = &((const struct undo_span *)a)->record;
	const struct undo_record *y = &((const struct undo_span *)b)->record;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->nr < y->nr ? -1 : x->nr > y->nr;
}

int undo_read_open(struct undo_read *u, struct file *file, struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(UNDO_RECORD_MAX);
	uint64_t at = UNDO_HEADER, size = file_size(file);
	struct undo_span s;
	int more = 1;

	*u = (struct undo_read) { .file = file };
	if (!buf)
		return err_nomem(e);
	if (header_read(u, e) < 0)
		return -1;
	for (uint64_t nr = 0; at < size && more > 0; nr++) {
		more = record_next(u, at, nr, &s, buf, e);
		if (more < 0 || (more && record_take(u, &s, e) < 0))
			return -1;
		if (more)
			at = s.at + undo_record_body(&s.record);
	}
	u->torn = at < size;
	if (u->old_nr)
		qsort(u->old, u->old_nr, sizeof *u->old, in_order);
	if (u->written_nr)
		qsort(u->written, u->written_nr, sizeof *u->written, in_order);
	return 0;
}

void undo_read_fini(struct undo_read *u)
{
	free(u->old);
	free(u->written);
	free(u->notes);
	free(u->cuts);
}

int undo_read_body(const struct undo_read *u, const struct undo_span *s, size_t skip,
		   uint8_t *buf, size_t n, struct err *e)
{
	return file_read_padded(u->file, s->at + skip, buf, n, NULL, e);
}

int undo_read_old(const struct undo_read *u, const struct undo_span *s, uint64_t off,
		  uint8_t *buf, size_t n, struct err *e)
{
	memset(buf, 0, n);
	return s->record.kind == UNDO_ZEROS
		       ? 0
		       : undo_read_body(u, s, (size_t)(off - s->record.off), buf, n, e);
}

bool undo_read_has_old(const struct undo_read *u, uint64_t off)
{
	size_t i = vec_below(u->old, u->old_nr, record.off, off + 1);

	return i && off - u->old[i - 1].record.off < u->old[i - 1].record.len;
}
