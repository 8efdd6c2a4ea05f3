#include "ops/map.h"

#include "base/align.h"

static struct map_row row_of(const struct disk *d, const struct extent *x)
{
	bool has_offset = x->has_host && !x->encrypted;

	return (struct map_row){
		.start = x->guest,
		.length = x->len,
		.offset = has_offset ? x->host : 0,
		.file = disk_layer_file(d, x->depth),
		.depth = x->depth,
		.present = x->kind != EXTENT_ABSENT,
		.zero = x->reads_zero,
		.data = x->kind == EXTENT_DATA || x->kind == EXTENT_PACKED,
		.packed = x->kind == EXTENT_PACKED,
		.has_offset = has_offset,
		.encrypted = x->encrypted && x->kind == EXTENT_DATA,
	};
}

static bool rows_join(const struct map_row *a, const struct map_row *b)
{
	return a->depth == b->depth && a->present == b->present && a->zero == b->zero &&
	       a->data == b->data && a->packed == b->packed &&
	       a->has_offset == b->has_offset && a->encrypted == b->encrypted &&
	       (!a->has_offset || a->offset + a->length == b->offset);
}

int map_disk(struct disk *d, uint64_t start, uint64_t len, map_row_fn *row, void *arg,
	     const struct watch *w, struct err *e)
{
	uint64_t size = disk_size(d);
	uint64_t end = start < size ? start + MIN(len, size - start) : start;
	struct map_row pending = { 0 };

	for (uint64_t at = start; at < end; at = pending.start + pending.length) {
		struct extent x;

		if (watch_stopped(w, e) < 0)
			return -1;
		if (disk_next(d, at, end - at, &x, e) < 0)
			return err_ctx(e, "the map of '%s'", disk_name(d));
		watch_progress(w, at - start, end - start);
		struct map_row next = row_of(d, &x);

		if (pending.length && rows_join(&pending, &next)) {
			pending.length += next.length;
			continue;
		}
		if (pending.length && row(arg, &pending, e) < 0)
			return -1;
		pending = next;
	}
	return pending.length ? row(arg, &pending, e) : 0;
}
