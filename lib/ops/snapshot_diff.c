#include "ops/snapshot_diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "image/disk.h"
#include "image/image.h"

#define SIDES 2
/* A compressed cluster is inflated as a whole: multiples of the largest cluster cut through none. */
#define PIECE_BYTES CLUSTER_SIZE_MAX

struct side {
	struct disk *disk;
	struct disk_reader *reader;
	uint8_t *buf;
};

struct diff {
	struct side side[SIDES];
	uint64_t common, size; /* of the shorter and of the longer one */
	struct snapshot_range pending;
	snapshot_range_fn *row;
	void *arg;
	const struct watch *watch;
};

static int side_open(struct side *s, const struct snapshot_diff *d, const char *snapshot,
		     const struct watch *w, struct err *e)
{
	struct disk_options how = { .flags = DISK_HOLES, .snapshot = snapshot,
				    .listener = d->listener, .watch = w };

	s->disk = disk_open(d->spec, &how, e);
	if (!s->disk)
		return -1;
	s->reader = disk_reader_new(s->disk, e);
	s->buf = malloc(PIECE_BYTES);
	return !s->reader ? -1 : !s->buf ? err_nomem(e) : 0;
}

static void side_close(struct side *s)
{
	free(s->buf);
	disk_reader_free(s->reader);
	disk_close(s->disk);
}

static int pending_give(struct diff *d, struct err *e)
{
	return d->pending.length ? d->row(d->arg, &d->pending, e) : 0;
}

static int range_add(struct diff *d, uint64_t start, uint64_t length, struct err *e)
{
	if (d->pending.length && d->pending.start + d->pending.length == start) {
		d->pending.length += length;
		return 0;
	}
	if (pending_give(d, e) < 0)
		return -1;
	d->pending = (struct snapshot_range){ start, length };
	return 0;
}

/* What is there from `at` on; behind the end: zeros. */
static int extent_find(const struct side *s, uint64_t at, uint64_t max_len, struct extent *x,
		       struct err *e)
{
	uint64_t size = disk_size(s->disk);

	if (at < size)
		return disk_next(s->disk, at, MIN(max_len, size - at), x, e);
	*x = (struct extent){ .guest = at, .len = max_len, .kind = EXTENT_ABSENT,
			      .reads_zero = true };
	return 0;
}

/* One chain, opened twice: the same place in the same layer holds the same bytes. */
static bool same_place(const struct extent *a, const struct extent *b)
{
	return a->kind == EXTENT_DATA && b->kind == EXTENT_DATA && a->depth == b->depth &&
	       a->has_host && b->has_host && a->host == b->host;
}

static int buffer_fill(struct side *s, const struct extent *x, struct err *e)
{
	if (!x->reads_zero)
		return disk_read_extent(s->reader, x, s->buf, e);
	memset(s->buf, 0, x->len);
	return 0;
}

static int bytes_compare(struct diff *d, struct extent x[SIDES], struct err *e)
{
	const uint8_t *a = d->side[0].buf, *b = d->side[1].buf;

	for (int i = 0; i < SIDES; i++)
		if (buffer_fill(&d->side[i], &x[i], e) < 0)
			return -1;
	if (!memcmp(a, b, x->len))
		return 0;
	for (uint64_t at = 0; at < x->len; at += SECTOR_SIZE)
		if (memcmp(a + at, b + at, MIN(x->len - at, SECTOR_SIZE)) != 0 &&
		    range_add(d, x->guest + at, MIN(x->len - at, SECTOR_SIZE), e) < 0)
			return -1;
	return 0;
}

/* Compares from `at` on, as far as each side has one extent; *done bytes. */
static int piece_compare(struct diff *d, uint64_t at, uint64_t max_len, uint64_t *done,
			 struct err *e)
{
	struct extent x[SIDES];

	for (int i = 0; i < SIDES; i++) {
		if (extent_find(&d->side[i], at, max_len, &x[i], e) < 0)
			return -1;
		max_len = MIN(max_len, x[i].len);
	}
	*done = max_len;
	if ((x[0].reads_zero && x[1].reads_zero) || same_place(&x[0], &x[1]))
		return 0;
	*done = MIN(max_len, PIECE_BYTES - at % PIECE_BYTES);
	x[0].len = x[1].len = *done;
	return bytes_compare(d, x, e);
}

static int diff_run(struct diff *d, struct err *e)
{
	bool alike = false;
	uint64_t end, done;

	for (uint64_t at = 0; at < d->size; at = end) {
		end = d->size;
		if (at < d->common) {
			if (disk_alike(d->side[0].disk, d->side[1].disk, at, d->common - at, &alike,
				       &end, e) < 0)
				return -1;
			end += at;
		}
		if (at < d->common && alike)
			continue;
		for (; at < end; at += done) {
			watch_progress(d->watch, at, d->size);
			if (watch_stopped(d->watch, e) < 0 ||
			    piece_compare(d, at, end - at, &done, e) < 0)
				return -1;
		}
	}
	return pending_give(d, e);
}

int snapshot_diff(const struct snapshot_diff *d, snapshot_range_fn *row, void *arg,
		  const struct watch *w, struct err *e)
{
	struct diff x = { .row = row, .arg = arg, .watch = w };
	int ret = -1;

	if (side_open(&x.side[0], d, d->from, w, e) == 0 &&
	    side_open(&x.side[1], d, d->against, w, e) == 0) {
		uint64_t a = disk_size(x.side[0].disk), b = disk_size(x.side[1].disk);

		x.common = MIN(a, b);
		x.size = MAX(a, b);
		ret = diff_run(&x, e);
		if (ret < 0)
			err_ctx(e, "'%s'", disk_name(x.side[0].disk));
	}
	side_close(&x.side[0]);
	side_close(&x.side[1]);
	return ret;
}
