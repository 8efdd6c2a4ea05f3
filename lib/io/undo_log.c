/* What goes into an undo file. */
#include "io/undo_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/vec.h"

#define ZERO_BLOCK ((size_t)4096) /* that is worth a record */

/* --- what is kept --- */

/* The first range that ends behind `at`. */
static size_t kept_find(const struct undo_log *l, uint64_t at)
{
	size_t low = 0, high = l->kept_nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->kept[mid].end > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Notes that start .. end-1, of which nothing was kept, is kept now. */
static int kept_add(struct undo_log *l, uint64_t start, uint64_t end, struct err *e)
{
	size_t i = kept_find(l, start);
	bool left = i > 0 && l->kept[i - 1].end == start;
	bool right = i < l->kept_nr && l->kept[i].start == end;

	if (left && right) {
		l->kept[i - 1].end = l->kept[i].end;
		memmove(l->kept + i, l->kept + i + 1,
			(l->kept_nr - i - 1) * sizeof *l->kept);
		l->kept_nr--;
	} else if (left) {
		l->kept[i - 1].end = end;
	} else if (right) {
		l->kept[i].start = start;
	} else {
		if (!vec_grow(&l->kept, l->kept_nr, &l->kept_room))
			return err_nomem(e);
		memmove(l->kept + i + 1, l->kept + i, (l->kept_nr - i) * sizeof *l->kept);
		l->kept[i] = (struct undo_range) { start, end };
		l->kept_nr++;
	}
	return 0;
}

static int record_write(struct undo_log *l, enum undo_kind kind, uint64_t off, uint64_t len,
			const uint8_t *body, struct err *e)
{
	struct undo_record r = { .kind = kind, .off = off, .len = len, .nr = l->record_nr };
	size_t n = undo_record_body(&r);
	uint8_t head[UNDO_RECORD];

	if (n)
		r.crc = undo_crc(body, n);
	undo_record_encode(&r, head);
	if (file_write_at(l->file, l->end, head, sizeof head, e) < 0 ||
	    (n && file_write_at(l->file, l->end + sizeof head, body, n, e) < 0))
		return err_ctx(e, "undo file");
	l->end += sizeof head + n;
	l->record_nr++;
	return 0;
}

/* Bytes that a buffer holds: runs of zeros and of others, in blocks. */
static int runs_store(struct undo_log *l, uint64_t off, const uint8_t *p, size_t n,
		      struct err *e)
{
	for (size_t at = 0, run; at < n; at += run) {
		bool zero;

		run = bytes_zero_run(p + at, n - at, ZERO_BLOCK, &zero);
		if (record_write(l, zero ? UNDO_ZEROS : UNDO_BYTES, off + at, run, p + at,
				 e) < 0)
			return -1;
	}
	return 0;
}

/* The next run of data or hole in off .. end-1, in whole blocks: each record begins with a
 * sector, which is judged as a whole. */
static uint64_t run_next(struct hole_map *map, uint64_t off, uint64_t end, bool *data)
{
	uint64_t len;

	hole_map_next(map, off, end - off, data, &len);
	if (len % ZERO_BLOCK && off + len < end) {
		*data |= len < ZERO_BLOCK;
		len = *data ? align_up(len, ZERO_BLOCK) : align_down(len, ZERO_BLOCK);
	}
	return MIN(len, *data ? MIN(end - off, UNDO_RECORD_MAX) : end - off);
}

/* Stores what the image holds at off .. end-1, of which nothing is kept. */
static int gap_store(struct undo_log *l, uint64_t off, uint64_t end, struct err *e)
{
	struct hole_map map = hole_map_over(l->image);
	uint64_t len;
	bool data;

	for (uint64_t at = off; at < end; at += len) {
		len = run_next(&map, at, end, &data);
		if (data ? file_read_padded(l->image, at, l->buf, (size_t)len, NULL, e) <
					    0 ||
				    runs_store(l, at, l->buf, (size_t)len, e) < 0
			 : record_write(l, UNDO_ZEROS, at, len, NULL, e) < 0)
			return -1;
	}
	return kept_add(l, off, end, e);
}

int undo_log_keep(struct undo_log *l, uint64_t off, uint64_t end, struct err *e)
{
	off = align_down(off, ZERO_BLOCK);
	end = MIN(end, l->old_size);
	while (off < end) {
		size_t i = kept_find(l, off);
		uint64_t next = i < l->kept_nr ? l->kept[i].start : end;

		if (next > off && gap_store(l, off, MIN(next, end), e) < 0)
			return -1;
		i = kept_find(l, off);
		off = i < l->kept_nr && l->kept[i].start <= off ? l->kept[i].end : end;
	}
	return 0;
}

/* --- what is written, and what is not --- */

int undo_log_written(struct undo_log *l, uint64_t off, const uint8_t *bytes, size_t n,
		     struct err *e)
{
	uint8_t sums[UNDO_RECORD_MAX / UNDO_SECTOR * UNDO_SUM], sector[UNDO_SECTOR];

	for (size_t at = 0; at < n; at += UNDO_SECTOR) {
		size_t part = MIN(n - at, UNDO_SECTOR);

		memset(sector + part, 0, UNDO_SECTOR - part);
		memcpy(sector, bytes + at, part);
		be32_put(sums + at / UNDO_SECTOR * UNDO_SUM, undo_crc(sector, UNDO_SECTOR));
	}
	return record_write(l, UNDO_WRITTEN, off, n, sums, e);
}

int undo_log_length(struct undo_log *l, uint64_t size, uint64_t low, struct err *e)
{
	return record_write(l, UNDO_LENGTH, size, MIN(low, size), NULL, e);
}

static int notes_write(struct undo_log *l, struct err *e)
{
	size_t n = l->notes_len;

	l->notes_len = 0;
	return n ? record_write(l, UNDO_NOTES, 0, n, l->notes, e) : 0;
}

static int sector_note(struct undo_log *l, uint64_t off, const uint8_t *bytes,
		       struct err *e)
{
	size_t i = kept_find(l, off);

	if (i < l->kept_nr && l->kept[i].start <= off)
		return 0;
	if (l->notes_len + UNDO_NOTE > UNDO_RECORD_MAX && notes_write(l, e) < 0)
		return -1;
	be64_put(l->notes + l->notes_len, off);
	be32_put(l->notes + l->notes_len + 8, undo_crc(bytes, UNDO_SECTOR));
	l->notes_len += UNDO_NOTE;
	return 0;
}

int undo_log_note(struct undo_log *l, uint64_t off, uint64_t end, struct err *e)
{
	off = align_down(off, UNDO_SECTOR);
	end = align_up(MIN(end, l->old_size), UNDO_SECTOR);
	for (size_t n; off < end; off += n) {
		n = (size_t)MIN(end - off, UNDO_RECORD_MAX);
		if (file_read_padded(l->image, off, l->buf, n, NULL, e) < 0)
			return -1;
		for (size_t at = 0; at < n; at += UNDO_SECTOR)
			if (sector_note(l, off + at, l->buf + at, e) < 0)
				return -1;
	}
	return 0;
}

int undo_log_flush(struct undo_log *l, struct err *e)
{
	if (notes_write(l, e) < 0)
		return -1;
	return file_flush(l->file, e) < 0 ? err_ctx(e, "undo file") : 0;
}

int undo_log_done(struct undo_log *l, struct err *e)
{
	if (notes_write(l, e) < 0 ||
	    record_write(l, UNDO_DONE, file_size(l->image), 0, NULL, e) < 0)
		return -1;
	return undo_log_flush(l, e);
}

/* --- the beginning --- */

/* One sample of the image, at the first data at or behind `at`. False: there is none. */
static bool sample_take(struct file *image, uint64_t at, uint8_t p[UNDO_SAMPLE],
			uint64_t *next, struct err *e)
{
	struct hole_map map = hole_map_over(image);
	uint8_t bytes[UNDO_SAMPLE_BYTES];
	uint64_t len, left;
	bool data;

	hole_map_next(&map, at, UINT64_MAX, &data, &len);
	if (!data && len > file_size(image) - at)
		return false;
	at += data ? 0 : len;
	if (at >= file_size(image))
		return false;
	left = MIN(file_size(image) - at, UNDO_SAMPLE_BYTES);
	if (file_read_at(image, at, bytes, (size_t)left, e) < 0)
		return false;
	be64_put(p, at);
	be32_put(p + 8, (uint32_t)left);
	be32_put(p + 12, undo_crc(bytes, (size_t)left));
	*next = at + left;
	return true;
}

static int header_write(struct file *undo, struct file *image, struct err *e)
{
	uint8_t p[UNDO_HEADER] = { 0 };
	uint64_t size = file_size(image), at = 0;
	uint32_t nr = 0;

	memcpy(p, UNDO_MAGIC, 8);
	be32_put(p + 8, UNDO_VERSION);
	be64_put(p + 16, size);
	while (nr < UNDO_SAMPLES && at < size &&
	       sample_take(image, at, p + UNDO_SAMPLES_AT + nr * UNDO_SAMPLE, &at, e)) {
		nr++;
		at = MAX(at, size / UNDO_SAMPLES * nr / ZERO_BLOCK * ZERO_BLOCK);
	}
	if (err_is(e))
		return -1;
	be32_put(p + 12, nr);
	be32_put(p + UNDO_HEADER - 4, undo_crc(p, UNDO_HEADER - 4));
	if (file_write_at(undo, 0, p, sizeof p, e) < 0 || file_flush(undo, e) < 0 ||
	    file_flush_directory(undo, e) < 0)
		return err_ctx(e, "undo file");
	return 0;
}

int undo_log_begin(struct undo_log *l, struct file *file, struct file *image, struct err *e)
{
	*l = (struct undo_log) { .file = file,
				 .image = image,
				 .old_size = file_size(image),
				 .end = UNDO_HEADER,
				 .buf = malloc(UNDO_RECORD_MAX),
				 .notes = malloc(UNDO_RECORD_MAX) };
	if (!l->buf || !l->notes)
		return err_nomem(e);
	return header_write(file, image, e);
}

static void parts_free(struct undo_log *l)
{
	free(l->kept);
	free(l->buf);
	free(l->notes);
}

int undo_log_close(struct undo_log *l, struct err *e)
{
	parts_free(l);
	return file_close(l->file, e);
}

void undo_log_drop(struct undo_log *l)
{
	parts_free(l);
	file_drop(l->file);
}
