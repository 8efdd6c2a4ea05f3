/* Zeros and discards (11.2, 11.3): marks in the tables where there are such marks. */
#include <string.h>

#include "base/align.h"
#include "image/writer_internal.h"

enum zero_how { ZERO_KEEP, ZERO_UNMAP, ZERO_DISCARD };

/* In raw mode the data file itself must read as zeros. */
static int data_file_zero(struct image_writer *w, uint64_t guest, uint64_t len,
			  enum zero_how how, struct err *e)
{
	uint64_t end = MIN(guest + len, w->disk->size);

	if (guest >= end)
		return 0;
	return file_zero(w->img->data_file, guest, end - guest,
			 how == ZERO_KEEP ? FILE_ZERO_KEEP : FILE_ZERO_PUNCH, e) < 0
		       ? file_failed_as_data(w->img->data_file, e)
		       : 0;
}

/* What the entry of a whole cluster becomes; *release: its host cluster is given up. */
static struct map_words words_of_zero(const struct image_writer *w, const struct l2_entry *x,
				      enum zero_how how, bool *release)
{
	const struct geom *g = writer_geom(w);
	bool keep = x->has_host && g->version >= 3 && (how == ZERO_KEEP || g->data_file);

	*release = !keep;
	if (how == ZERO_DISCARD && !writer_shows_backing(w) && !keep && !x->has_host &&
	    !x->packed)
		return (struct map_words){ x->raw, x->bitmap };
	if (g->version < 3)
		return (struct map_words){ 0, 0 };
	if (g->subclusters)
		return (struct map_words){ keep ? x->raw : 0, L2_ALL_ZERO };
	return (struct map_words){ (keep ? x->raw : 0) | ENTRY_ZERO, 0 };
}

/* Whether marks can do it: version 2 knows only "nothing here". */
static bool can_mark(const struct image_writer *w)
{
	return writer_geom(w)->version >= 3 || !writer_shows_backing(w);
}

static int write_plain_zeros(struct image_writer *w, uint64_t guest, uint64_t len,
			     struct err *e)
{
	static const uint8_t zeros[65536];

	while (len) {
		size_t n = (size_t)MIN(len, sizeof zeros);

		if (image_write(w, guest, zeros, n, e) < 0 || image_writer_relax(w, e) < 0)
			return -1;
		guest += n;
		len -= n;
	}
	return 0;
}

static int cluster_zero(struct image_writer *w, uint64_t guest, enum zero_how how,
			struct err *e)
{
	struct l2_entry x;
	bool release;

	if (writer_entry(w, guest, &x, e) < 0)
		return -1;
	struct map_words words = words_of_zero(w, &x, how, &release);

	if (words.raw == x.raw && words.bitmap == x.bitmap)
		return 0;
	if (release && writer_release(w, &x, e) < 0)
		return -1;
	return writer_entry_set(w, guest, words.raw, words.bitmap, e);
}

/* Subclusters from .. to-1 (bytes, whole subclusters) of one cluster. */
static int subclusters_zero(struct image_writer *w, uint64_t guest, uint64_t from, uint64_t to,
			    struct err *e)
{
	uint64_t bits = writer_subclusters(writer_geom(w), from, to), bitmap;
	struct l2_entry x;

	if (writer_entry(w, guest, &x, e) < 0)
		return -1;
	if (x.packed) /* it can be marked as a whole only */
		return write_plain_zeros(w, guest + from,
					 MIN(guest + to, w->disk->size) - (guest + from), e);
	bitmap = (x.bitmap & ~bits) | bits << 32;
	return bitmap == x.bitmap ? 0 : writer_entry_set(w, guest, x.raw, bitmap, e);
}

/* Whether the whole L2 table's worth of guest bytes says nothing, and nothing shows through. */
static int is_nothing(struct image_writer *w, uint64_t guest, bool *nothing, struct err *e)
{
	uint64_t l2_off;

	*nothing = false;
	if (writer_shows_backing(w) || w->data_file_raw)
		return 0;
	if (map_l2_find(&w->disk->map, guest, &l2_off, e) < 0)
		return -1;
	*nothing = !l2_off;
	return 0;
}

/* Marks whole units from `guest` on, inside one L2 table's span. */
static int span_mark(struct image_writer *w, uint64_t guest, uint64_t len, enum zero_how how,
		     struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t size = geom_cluster_size(g), n;
	bool nothing;

	if (is_nothing(w, guest, &nothing, e) < 0)
		return -1;
	if (nothing)
		return 0;
	if (writer_l2(w, guest, e) < 0)
		return -1;
	if (w->data_file_raw)
		return data_file_zero(w, guest, len, how, e);
	for (uint64_t at = guest, end = guest + len; at < end; at += n) {
		uint64_t in = geom_in_cluster(g, at);

		n = MIN(size - in, end - at);
		if (n == size ? cluster_zero(w, at, how, e) < 0
			      : subclusters_zero(w, at - in, in, in + n, e) < 0)
			return -1;
	}
	return 0;
}

static int mark(struct image_writer *w, uint64_t guest, uint64_t end, enum zero_how how,
		struct err *e)
{
	uint64_t span = UINT64_C(1) << geom_l2_span_bits(writer_geom(w)), n;

	for (; guest < end; guest += n) {
		n = MIN(end - guest, span - (guest & (span - 1)));
		if (span_mark(w, guest, n, how, e) < 0 || image_writer_relax(w, e) < 0)
			return -1;
	}
	return 0;
}

static int range_check(const struct image_writer *w, uint64_t guest, uint64_t len,
		       struct err *e)
{
	if (guest > w->disk->size || len > w->disk->size - guest)
		return err_set(e, ERR_INVALID, "the range reaches past the end of the disk");
	return 0;
}

/* The whole units in guest .. guest+len-1; what lies behind the end of the disk is free to become
 * zeros, too. */
static void units_of(const struct image_writer *w, uint64_t guest, uint64_t len, uint64_t unit,
		     uint64_t *from, uint64_t *to)
{
	uint64_t end = guest + len;

	*from = align_up(guest, unit);
	*to = end == w->disk->size ? align_up(end, unit) : align_down(end, unit);
	*to = MAX(*to, *from);
}

int image_write_zeros(struct image_writer *w, uint64_t guest, uint64_t len, bool unmap,
		      struct err *e)
{
	uint64_t end = guest + len, from, to;

	if (range_check(w, guest, len, e) < 0)
		return -1;
	if (!len)
		return 0;
	if (writer_begin(w, guest, len, e) < 0)
		return -1;
	units_of(w, guest, len, image_writer_unit(w), &from, &to);
	if (!can_mark(w) || from >= to)
		return write_plain_zeros(w, guest, len, e);
	if (write_plain_zeros(w, guest, from - guest, e) < 0 ||
	    mark(w, from, to, unmap ? ZERO_UNMAP : ZERO_KEEP, e) < 0)
		return -1;
	return end > to ? write_plain_zeros(w, to, end - to, e) : 0;
}

int image_discard(struct image_writer *w, uint64_t guest, uint64_t len, struct err *e)
{
	uint64_t from, to;

	if (range_check(w, guest, len, e) < 0)
		return -1;
	units_of(w, guest, len, geom_cluster_size(writer_geom(w)), &from, &to);
	if (!can_mark(w) || from >= to)
		return 0;
	if (writer_begin(w, from, to - from, e) < 0)
		return -1;
	return mark(w, from, to, ZERO_DISCARD, e);
}
