/* Whether an image is as the repair left it that an undo file is to take back: what nobody
 * knows to be the repair's work is not overwritten, and never cut off. */
#include <stdlib.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "io/undo_read.h"

#define PIECE UNDO_RECORD_MAX

struct judge {
	const struct undo_read *undo;
	struct file *image;
	uint8_t *now, *old;              /* PIECE each */
	const struct undo_span *sums_of; /* whose sums are in `sums`; NULL: nobody's */
	uint8_t sums[PIECE / UNDO_SECTOR * UNDO_SUM];
};

static int differs(uint64_t off, struct err *e)
{
	return err_set(
		e, ERR_INVALID,
		"the undo file is of another image, or this one was changed since: it differs at offset %llu",
		(unsigned long long)off);
}

static int size_judge(const struct undo_read *u, uint64_t size, struct err *e)
{
	/* Putting back makes a file that was cut longer, and cuts one that grew in the end.
	 */
	uint64_t low = MIN(u->size_min, u->old_size), high = MAX(u->size_max, u->old_size);
	bool between = !u->done || u->old_size > u->size_max;

	if (size == low || size == high || (between && size > low && size < high))
		return 0;
	return err_set(
		e, ERR_INVALID,
		"the undo file is of another image, or this one was changed since: it has %llu bytes",
		(unsigned long long)size);
}

/* --- what was overwritten or added --- */

/* 1: the record says that this sector got this sum. */
static int sum_is(struct judge *j, const struct undo_span *s, uint64_t sector, uint32_t sum,
		  struct err *e)
{
	size_t at = (size_t)(sector - s->record.off) / UNDO_SECTOR * UNDO_SUM;

	if (j->sums_of != s) {
		j->sums_of = NULL;
		if (undo_read_body(j->undo, s, 0, j->sums, undo_record_body(&s->record),
				   e) < 0)
			return -1;
		j->sums_of = s;
	}
	return be32_get(j->sums + at) == sum;
}

/* Whether the file was cut before this sector after that, so that it is zeros if it is
 * there. */
static bool was_cut(const struct undo_read *u, uint64_t sector, uint64_t nr)
{
	for (size_t i = u->cuts_nr; i && u->cuts[i - 1].nr >= nr; i--)
		if (u->cuts[i - 1].low <= sector)
			return true;
	return false;
}

/* 1: it is what was written there: last, if all was; else at any time. */
static int is_written(struct judge *j, uint64_t sector, const uint8_t bytes[UNDO_SECTOR],
		      struct err *e)
{
	const struct undo_read *u = j->undo;
	const struct undo_span *last = NULL;
	uint32_t sum = undo_crc(bytes, UNDO_SECTOR);
	int same = 0;

	for (size_t i = vec_below(u->written, u->written_nr, record.off, sector + 1);
	     i && u->written[i - 1].record.off + PIECE > sector; i--) {
		const struct undo_span *s = &u->written[i - 1];

		if (sector - s->record.off >= s->record.len)
			continue;
		if (!u->done && (same = sum_is(j, s, sector, sum, e)))
			return same;
		if (!last || s->record.nr > last->record.nr)
			last = s;
	}
	bool zero = !last || was_cut(u, sector, last->record.nr);

	if (u->done && !zero)
		return sum_is(j, last, sector, sum, e);
	/* It was cut off and came back, or the file grew over it. */
	zero |= !u->done && (sector >= u->old_size || was_cut(u, sector, 0));
	return zero && bytes_are_zero(bytes, UNDO_SECTOR);
}

/* A sector of which `kept` bytes are in j->old: at `at` in the piece. */
static int sector_judge(struct judge *j, uint64_t off, size_t at, size_t kept,
			struct err *e)
{
	if (kept && memcmp(j->now + at, j->old + at, kept) == 0)
		return 0;
	/* What grew is cut off only when all else is what it was. */
	if (j->undo->done && j->undo->size_max > j->undo->old_size &&
	    file_size(j->image) == j->undo->old_size)
		return differs(off + at, e);
	int same = is_written(j, off + at, j->now + at, e);

	return same > 0 ? 0 : same < 0 ? -1 : differs(off + at, e);
}

static int kept_judge(struct judge *j, const struct undo_span *s, struct err *e)
{
	uint64_t off = s->record.off, end = off + s->record.len;

	for (size_t n; off < end; off += n) {
		n = (size_t)MIN(end - off, PIECE);
		if (file_read_padded(j->image, off, j->now, align_up(n, UNDO_SECTOR), NULL,
				     e) < 0 ||
		    undo_read_old(j->undo, s, off, j->old, n, e) < 0)
			return -1;
		for (size_t at = 0; at < n; at += UNDO_SECTOR)
			if (sector_judge(j, off, at, MIN(n - at, UNDO_SECTOR), e) < 0)
				return -1;
	}
	return 0;
}

static int added_judge(struct judge *j, struct err *e)
{
	struct hole_map holes = hole_map_over(j->image);
	uint64_t off = align_up(j->undo->old_size, UNDO_SECTOR), end = file_size(j->image),
		 len;
	bool data;

	for (; off < end; off += len) {
		hole_map_next(&holes, off, MIN(end - off, PIECE), &data, &len);
		len = MIN(align_up(len, UNDO_SECTOR), PIECE);
		if (file_read_padded(j->image, off, j->now, (size_t)len, NULL, e) < 0)
			return -1;
		for (size_t at = 0; at < len; at += UNDO_SECTOR)
			if (sector_judge(j, off, at, 0, e) < 0)
				return -1;
	}
	return 0;
}

/* --- what was not touched --- */

/* How many of these notes are about sectors that follow each other, as far as a piece goes.
 */
static size_t notes_run(const uint8_t *notes, size_t n)
{
	uint64_t first = be64_get(notes);
	size_t nr = 1;

	while (nr < PIECE / UNDO_SECTOR && nr * UNDO_NOTE < n &&
	       be64_get(notes + nr * UNDO_NOTE) - first == nr * UNDO_SECTOR)
		nr++;
	return nr;
}

static int notes_judge(struct judge *j, const struct undo_span *s, struct err *e)
{
	size_t n = undo_record_body(&s->record);
	const uint8_t *note = j->old;

	if (undo_read_body(j->undo, s, 0, j->old, n, e) < 0)
		return -1;
	for (size_t nr; note < j->old + n; note += nr * UNDO_NOTE) {
		uint64_t off = be64_get(note);

		nr = notes_run(note, (size_t)(j->old + n - note));
		if (off > INT64_MAX - PIECE)
			return differs(off, e);
		if (file_read_padded(j->image, off, j->now, nr * UNDO_SECTOR, NULL, e) < 0)
			return -1;
		for (size_t i = 0; i < nr; i++)
			if (undo_crc(j->now + i * UNDO_SECTOR, UNDO_SECTOR) !=
				    be32_get(note + i * UNDO_NOTE + 8) &&
			    !undo_read_has_old(j->undo, off + i * UNDO_SECTOR))
				return differs(off + i * UNDO_SECTOR, e);
	}
	return 0;
}

static bool is_touched(const struct undo_read *u, uint64_t off, uint64_t len)
{
	size_t i = vec_below(u->old, u->old_nr, record.off, off + len);

	return i && u->old[i - 1].record.off + u->old[i - 1].record.len > off;
}

static int samples_judge(struct judge *j, struct err *e)
{
	for (uint32_t i = 0; i < j->undo->sample_nr; i++) {
		const uint8_t *sample = undo_read_sample(j->undo, i);
		uint64_t off = be64_get(sample);
		uint32_t len = be32_get(sample + 8);

		if (is_touched(j->undo, off, len))
			continue;
		if (off > (uint64_t)INT64_MAX - len)
			return differs(off, e);
		if (file_read_padded(j->image, off, j->now, len, NULL, e) < 0)
			return -1;
		if (undo_crc(j->now, len) != be32_get(sample + 12))
			return differs(off, e);
	}
	return 0;
}

static int all_judge(struct judge *j, struct err *e)
{
	const struct undo_read *u = j->undo;

	if (size_judge(u, file_size(j->image), e) < 0 || samples_judge(j, e) < 0)
		return -1;
	for (size_t i = 0; i < u->notes_nr; i++)
		if (notes_judge(j, &u->notes[i], e) < 0)
			return -1;
	for (size_t i = 0; i < u->old_nr; i++)
		if (kept_judge(j, &u->old[i], e) < 0)
			return -1;
	return added_judge(j, e);
}

int undo_judge(const struct undo_read *u, struct file *image, struct err *e)
{
	AUTO_FREE struct judge *j = calloc(1, sizeof *j);
	AUTO_FREE uint8_t *pieces = malloc(2 * PIECE);

	if (!j || !pieces)
		return err_nomem(e);
	j->undo = u;
	j->image = image;
	j->now = pieces;
	j->old = pieces + PIECE;
	return all_judge(j, e);
}
