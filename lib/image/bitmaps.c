/* A set of bitmaps in memory, and the changes to it. */
#include "image/bitmaps_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/vec.h"

struct bitmap *bitmap_find(struct bitmap_set *s, struct bytes name)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->items[i].entry.name.n == name.n &&
		    memcmp(s->items[i].entry.name.p, name.p, name.n) == 0)
			return &s->items[i];
	return NULL;
}

/* What we may touch at all, in use or not. */
static int bitmap_known(const struct bitmap *b, struct err *e)
{
	const struct bitmap_entry *x = &b->entry;

	if (x->flags & ~BITMAP_FLAGS_KNOWN)
		return err_set(e, ERR_UNSUPPORTED, "it has flags that we don't know, %#" PRIx32,
			       x->flags);
	if (x->extra.n && !(x->flags & BITMAP_EXTRA_COMPATIBLE))
		return err_set(e, ERR_UNSUPPORTED,
			       "it has extra data that we don't know; it can only be removed");
	return 0;
}

int bitmap_usable(const struct bitmap *b, struct err *e)
{
	if (b->entry.flags & BITMAP_IN_USE)
		return err_set(e, ERR_UNSUPPORTED,
			       "it was in use when its last user went away, and has missed "
			       "changes: remove it, or have it cover the whole disk with "
			       "--as-full");
	return bitmap_known(b, e);
}

/* The bits are to be replaced as a whole: what they are does not matter. */
static int bits_forget(struct bitmap_set *s, struct bitmap *b, bool one, struct err *e)
{
	struct bits bits = { 0 };

	if (bitmap_bits_new(s, b, &bits, e) < 0)
		return -1;
	if (bits_fill(&bits, one, e) < 0) {
		bits_fini(&bits);
		return -1;
	}
	bits_fini(&b->bits);
	b->bits = bits;
	b->loaded = b->changed = s->changed = true;
	b->lost = false;
	return 0;
}

static int room_check(const struct bitmap_set *s, struct bytes name, unsigned granularity_bits,
		      struct err *e)
{
	const struct geom *g = bitmap_set_geom(s);

	if (image_header(s->img)->version < 3)
		return err_set(e, ERR_UNSUPPORTED,
			       "an image of version 2 can't have bitmaps; amend -o compat=1.1 "
			       "makes one of version 3 of it");
	if (!name.n)
		return err_set(e, ERR_INVALID, "Bitmap name cannot be empty");
	if (name.n > BITMAP_NAME_MAX)
		return err_set(e, ERR_INVALID, "the name has %zu bytes; the most is %u", name.n,
			       BITMAP_NAME_MAX);
	if (s->nr >= BITMAPS_MAX)
		return err_set(e, ERR_INVALID, "there are %u bitmaps already, and no more may be",
			       BITMAPS_MAX);
	if (!g->disk_size)
		return err_set(e, ERR_INVALID, "the disk has no bytes that could change");
	if (!bitmap_fits(g->disk_size, granularity_bits, g->cluster_bits))
		return err_set(e, ERR_INVALID,
			       "it would take more than 512 MiB; a larger granularity helps");
	return 0;
}

int bitmap_add(struct bitmap_set *s, struct bytes name, unsigned granularity_bits, struct err *e)
{
	struct bitmap b = { .entry = { .flags = BITMAP_AUTO,
				       .type = BITMAP_TYPE_DIRTY,
				       .granularity_bits = (uint8_t)granularity_bits,
				       .name = name } };

	if (room_check(s, name, granularity_bits, e) < 0)
		return -1;
	if (bitmap_find(s, name))
		return err_set(e, ERR_INVALID, "Bitmap already exists");
	if (!vec_grow(&s->items, s->nr, &s->room))
		return err_nomem(e);
	if (bits_forget(s, &b, false, e) < 0)
		return -1;
	s->items[s->nr++] = b;
	return 0;
}

int bitmap_remove(struct bitmap_set *s, struct bitmap *b, struct err *e)
{
	size_t idx = (size_t)(b - s->items);

	if (b->stored) {
		if (!vec_grow(&s->gone, s->gone_nr, &s->gone_room))
			return err_nomem(e);
		s->gone[s->gone_nr++] = b->entry;
	}
	bits_fini(&b->bits);
	s->nr--;
	memmove(b, b + 1, (s->nr - idx) * sizeof *b);
	s->changed = true;
	return 0;
}

int bitmap_remove_all(struct bitmap_set *s, struct err *e)
{
	const struct header *h = image_header(s->img);

	s->changed |= h->has_bitmaps_ext || (h->autoclear_features & AUTOCLEAR_BITMAPS);
	while (s->nr)
		if (bitmap_remove(s, &s->items[s->nr - 1], e) < 0)
			return -1;
	return 0;
}

int bitmap_enable(struct bitmap_set *s, struct bitmap *b, bool enable, struct err *e)
{
	uint32_t flags = enable ? b->entry.flags | BITMAP_AUTO : b->entry.flags & ~BITMAP_AUTO;

	if (bitmap_usable(b, e) < 0)
		return -1;
	s->changed |= flags != b->entry.flags;
	b->entry.flags = flags;
	return 0;
}

int bitmap_clear(struct bitmap_set *s, struct bitmap *b, struct err *e)
{
	return bitmap_usable(b, e) < 0 ? -1 : bits_forget(s, b, false, e);
}

int bitmap_as_full(struct bitmap_set *s, struct bitmap *b, struct err *e)
{
	const struct geom *g = bitmap_set_geom(s);

	if (bitmap_known(b, e) < 0)
		return -1;
	if (!g->disk_size || !bitmap_fits(g->disk_size, b->entry.granularity_bits, g->cluster_bits))
		return err_set(e, ERR_INVALID, "a bitmap of its granularity can't cover the disk");
	if (bits_forget(s, b, true, e) < 0)
		return -1;
	b->entry.flags = (b->entry.flags & ~BITMAP_IN_USE) | BITMAP_AUTO;
	return 0;
}

int bitmap_mark(struct bitmap_set *s, struct bitmap *b, uint64_t guest, uint64_t len,
		struct err *e)
{
	uint64_t first, end;

	if (bitmap_load(s, b, e) < 0)
		return -1;
	if (guest > bitmap_set_geom(s)->disk_size || len > bitmap_set_geom(s)->disk_size - guest)
		return err_set(e, ERR_INVALID, "%" PRIu64 " bytes at %" PRIu64
			       " reach past the end of the disk", len, guest);
	if (!len)
		return 0;
	b->changed = s->changed = true;
	bitmap_touched(guest, len, b->entry.granularity_bits, &first, &end);
	return bits_set(&b->bits, first, end, e);
}

int bitmap_next(struct bitmap_set *s, struct bitmap *b, uint64_t *guest, uint64_t *len,
		struct err *e)
{
	unsigned shift = b->entry.granularity_bits;
	uint64_t size = bitmap_set_geom(s)->disk_size, first, end;

	*len = 0;
	if (bitmap_load(s, b, e) < 0)
		return -1;
	if (*guest >= size)
		return 0;
	if (bits_next(&b->bits, *guest >> shift, &first, &end, e) < 0)
		return -1;
	*guest = MAX(*guest, MIN(first << shift, size));
	*len = MIN(end << shift, size) - *guest;
	return 0;
}

int bitmap_merge(struct bitmap_set *s, struct bitmap *b, struct bitmap_set *from_set,
		 struct bitmap *from, struct err *e)
{
	uint64_t to = bitmap_set_geom(s)->disk_size, of = bitmap_set_geom(from_set)->disk_size, len;

	if (to != of)
		return err_set(e, ERR_INVALID,
			       "the disks differ in size: %" PRIu64 " bytes here, %" PRIu64
			       " bytes there", to, of);
	if (bitmap_load(from_set, from, e) < 0)
		return err_ctx(e, "source");
	if (bitmap_load(s, b, e) < 0)
		return -1;
	if (b == from)
		return 0;
	b->changed = s->changed = true;
	if (b->entry.granularity_bits == from->entry.granularity_bits)
		return bits_or(&b->bits, &from->bits, e);
	for (uint64_t guest = 0;; guest += len) {
		if (bitmap_next(from_set, from, &guest, &len, e) < 0)
			return -1;
		if (!len)
			return 0;
		if (bitmap_mark(s, b, guest, len, e) < 0)
			return -1;
	}
}
