/* Puts back what an undo file holds. */
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "io/file_undo.h"
#include "io/undo_format.h"

struct apply {
	struct file *undo, *image;
	uint64_t old_size;
	uint32_t sample_nr;
	uint8_t header[UNDO_HEADER];
	bool touched[UNDO_SAMPLES]; /* samples that a record has a part of */
	uint8_t *buf;		    /* UNDO_RECORD_MAX */
	struct file_undo_applied *result;
};

static int header_read(struct apply *a, struct err *e)
{
	const uint8_t *p = a->header;

	if (file_read_padded(a->undo, 0, a->header, sizeof a->header, NULL, e) < 0)
		return -1;
	if (memcmp(p, UNDO_MAGIC, 8) != 0)
		return err_set(e, ERR_INVALID, "not an undo file");
	if (be32_get(p + UNDO_HEADER - 4) != undo_crc(p, UNDO_HEADER - 4))
		return err_set(e, ERR_INVALID, "the header of the undo file is damaged");
	if (be32_get(p + 8) != UNDO_VERSION)
		return err_set(e, ERR_UNSUPPORTED, "undo file of version %u", be32_get(p + 8));
	a->sample_nr = be32_get(p + 12);
	a->old_size = be64_get(p + 16);
	if (a->sample_nr > UNDO_SAMPLES || a->old_size > INT64_MAX)
		return err_set(e, ERR_INVALID, "the header of the undo file is damaged");
	return 0;
}

static const uint8_t *sample(const struct apply *a, uint32_t i)
{
	return a->header + UNDO_SAMPLES_AT + (size_t)i * UNDO_SAMPLE;
}

static int touch(struct apply *a, const struct undo_record *r, struct err *e)
{
	for (uint32_t i = 0; i < a->sample_nr; i++) {
		uint64_t off = be64_get(sample(a, i)), len = be32_get(sample(a, i) + 8);

		a->touched[i] |= off < r->off + r->len && r->off < off + len;
	}
	return 0;
}

static int put_back(struct apply *a, const struct undo_record *r, struct err *e)
{
	a->result->bytes += r->len;
	return r->kind == UNDO_ZEROS
		       ? file_zero(a->image, r->off, r->len, FILE_ZERO_PUNCH, e)
		       : file_write_at(a->image, r->off, a->buf, (size_t)r->len, e);
}

/* Calls `each` for each whole record, its bytes in a->buf. */
static int records_walk(struct apply *a,
			int (*each)(struct apply *a, const struct undo_record *r, struct err *e),
			struct err *e)
{
	uint64_t at = UNDO_HEADER, size = file_size(a->undo);

	for (uint64_t nr = 0; at < size; nr++) {
		uint8_t head[UNDO_RECORD];
		struct undo_record r;

		if (file_read_padded(a->undo, at, head, sizeof head, NULL, e) < 0)
			return -1;
		if (!undo_record_decode(head, &r) || r.nr != nr || r.off + r.len > a->old_size)
			break;
		at += sizeof head;
		if (r.kind == UNDO_BYTES) {
			if (file_read_padded(a->undo, at, a->buf, (size_t)r.len, NULL, e) < 0)
				return -1;
			if (undo_crc(a->buf, (size_t)r.len) != r.crc)
				break;
			at += r.len;
		}
		if (each(a, &r, e) < 0)
			return -1;
	}
	a->result->torn = at < size;
	return 0;
}

static int samples_compare(struct apply *a, struct err *e)
{
	for (uint32_t i = 0; i < a->sample_nr; i++) {
		uint64_t off = be64_get(sample(a, i));
		uint32_t len = be32_get(sample(a, i) + 8);
		uint8_t bytes[UNDO_SAMPLE_BYTES];

		if (a->touched[i])
			continue;
		if (len > sizeof bytes)
			return err_set(e, ERR_INVALID, "the header of the undo file is damaged");
		if (file_read_padded(a->image, off, bytes, len, NULL, e) < 0)
			return -1;
		if (undo_crc(bytes, len) != be32_get(sample(a, i) + 12))
			return err_set(e, ERR_INVALID,
				       "the undo file is of another image, or this one was changed since: it differs at offset %llu",
				       (unsigned long long)off);
	}
	return 0;
}

int file_undo_apply(struct file *undo, struct file *image, struct file_undo_applied *result,
		    struct err *e)
{
	AUTO_FREE struct apply *a = calloc(1, sizeof *a);
	AUTO_FREE uint8_t *buf = malloc(UNDO_RECORD_MAX);

	*result = (struct file_undo_applied){ 0 };
	if (!a || !buf)
		return err_nomem(e);
	*a = (struct apply){ .undo = undo, .image = image, .buf = buf, .result = result };
	if (header_read(a, e) < 0 || records_walk(a, touch, e) < 0 || samples_compare(a, e) < 0 ||
	    records_walk(a, put_back, e) < 0)
		return -1;
	if (file_size(image) != a->old_size && file_truncate(image, a->old_size, e) < 0)
		return -1;
	return file_flush(image, e);
}
