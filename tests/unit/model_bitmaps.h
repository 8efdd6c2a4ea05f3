#pragma once
/* Bitmaps of a model: of each granule, whether it must be dirty, and whether it may. */
#include "image/bitmaps.h"
#include "model_help.h"
#include "ops/bitmap.h"

#define MODEL_BITMAPS	  4
#define MODEL_GRANULES	  8192 /* of 512 bytes: no disk of a model is larger */
#define MODEL_STEPS_MOST  3
#define MODEL_RANGES_MOST 3

struct model_bitmap {
	bool there, enabled;
	unsigned bits; /* log2 of the granularity */
	bool must[MODEL_GRANULES], may[MODEL_GRANULES];
};

struct model_bitmaps {
	struct model_bitmap items[MODEL_BITMAPS];
};

static inline bool model_has_bitmaps(const struct model_bitmaps *s)
{
	for (unsigned i = 0; i < MODEL_BITMAPS; i++)
		if (s->items[i].there)
			return true;
	return false;
}

static inline void granules_mark(bool *granules, unsigned bits, uint64_t at, uint64_t len)
{
	uint64_t first, end;

	if (!len)
		return;
	bitmap_touched(at, len, bits, &first, &end);
	memset(granules + first, true, end - first);
}

static inline void model_bitmap_mark(struct model_bitmap *b, uint64_t at, uint64_t len)
{
	granules_mark(b->must, b->bits, at, len);
	granules_mark(b->may, b->bits, at, len);
}

/* The disk was written to. */
static inline void model_bitmaps_mark(struct model_bitmaps *s, uint64_t at, uint64_t len)
{
	for (unsigned i = 0; i < MODEL_BITMAPS; i++)
		if (s->items[i].there && s->items[i].enabled)
			model_bitmap_mark(&s->items[i], at, len);
}

/* It may have been. */
static inline void model_bitmaps_allow(struct model_bitmaps *s, uint64_t at, uint64_t len)
{
	for (unsigned i = 0; i < MODEL_BITMAPS; i++)
		if (s->items[i].there && s->items[i].enabled)
			granules_mark(s->items[i].may, s->items[i].bits, at, len);
}

/* The disk has another length: what is new is dirty. */
static inline void model_bitmaps_resize(struct model_bitmaps *s, uint64_t before, uint64_t after)
{
	if (after > before) {
		model_bitmaps_mark(s, before, after - before);
		return;
	}
	for (unsigned i = 0; i < MODEL_BITMAPS; i++) {
		struct model_bitmap *b = &s->items[i];
		uint64_t kept = b->there ? bitmap_bits(after, b->bits) : MODEL_GRANULES;

		memset(b->must + kept, false, MODEL_GRANULES - kept);
		memset(b->may + kept, false, MODEL_GRANULES - kept);
	}
}

/* --- changes --- */

static inline void granules_merge(bool *into, unsigned into_bits, const bool *from,
				  unsigned from_bits, uint64_t size)
{
	for (uint64_t i = 0; i < bitmap_bits(size, from_bits); i++)
		if (from[i])
			granules_mark(into, into_bits, i << from_bits,
				      MIN(UINT64_C(1) << from_bits, size - (i << from_bits)));
}

static inline void model_bitmap_fill(struct model_bitmap *b, uint64_t size, bool dirty)
{
	memset(b->must, false, sizeof b->must);
	memset(b->may, false, sizeof b->may);
	if (dirty)
		model_bitmap_mark(b, 0, size);
}

static inline bool model_merge(struct model_bitmaps *s, struct model_bitmap *b,
			       const char *source, uint64_t size)
{
	const struct model_bitmap *from = &s->items[source[0] - 'a'];

	if (!from->there)
		return false;
	granules_merge(b->must, b->bits, from->must, from->bits, size);
	granules_merge(b->may, b->bits, from->may, from->bits, size);
	return true;
}

static inline bool model_import(struct model_bitmap *b, const struct bitmap_step *step,
				uint64_t size)
{
	for (size_t i = 0; i < step->ranges_nr; i++) {
		const struct bitmap_range *x = &step->ranges[i];

		if (x->start > size || x->len > size - x->start)
			return false;
		model_bitmap_mark(b, x->start, x->len);
	}
	return true;
}

/* Whether the step is possible; then it is done. */
static inline bool model_step(struct model_bitmaps *s, struct model_bitmap *b,
			      const struct bitmap_step *step, unsigned bits, uint64_t size)
{
	if (b->there == (step->action == BITMAP_ADD))
		return false;
	switch (step->action) {
	case BITMAP_ADD:
		*b = (struct model_bitmap){ .there = true, .enabled = true, .bits = bits };
		return true;
	case BITMAP_REMOVE:
		b->there = false;
		return true;
	case BITMAP_ENABLE:
	case BITMAP_DISABLE:
		b->enabled = step->action == BITMAP_ENABLE;
		return true;
	case BITMAP_CLEAR:
		model_bitmap_fill(b, size, false);
		return true;
	case BITMAP_AS_FULL:
		model_bitmap_fill(b, size, true);
		return b->enabled = true;
	case BITMAP_MERGE:
		return model_merge(s, b, step->source, size);
	case BITMAP_IMPORT:
		return model_import(b, step, size);
	}
	return false;
}

static inline void some_ranges(struct bitmap_range *ranges, struct bitmap_step *step,
			       uint64_t size)
{
	step->ranges = ranges;
	step->ranges_nr = below(MODEL_RANGES_MOST + 1);
	for (size_t i = 0; i < step->ranges_nr; i++) {
		ranges[i].start = below(size + 1);
		ranges[i].len = below(one_in(9) ? 2 * size : size - ranges[i].start + 1);
	}
}

/* Some steps in one go, in the image and in the model: all of them, or none. */
static inline bool bitmaps_change(const char *path, struct model_bitmaps *s, uint64_t size,
				  bool version_2, struct err *e)
{
	static const char *const names[MODEL_BITMAPS] = { "a", "b", "c", "d" };
	struct bitmap_range ranges[MODEL_STEPS_MOST][MODEL_RANGES_MOST];
	struct bitmap_step steps[MODEL_STEPS_MOST] = { 0 };
	struct model_bitmaps *tried = malloc(sizeof *tried);
	unsigned which = (unsigned)below(MODEL_BITMAPS), bits = 9 + (unsigned)below(9);
	bool possible = !version_2;
	struct spec spec;
	struct bitmap_change c = { .spec = &spec, .name = names[which], .steps = steps,
				   .steps_nr = below(MODEL_STEPS_MOST) + 1,
				   .granularity = UINT64_C(1) << bits };

	*tried = *s;
	for (size_t i = 0; i < c.steps_nr; i++) {
		bool there = tried->items[which].there;

		/* Mostly something that is possible. */
		steps[i].action = there || one_in(9) ? (enum bitmap_action)(1 + below(BITMAP_IMPORT))
						     : BITMAP_ADD;
		steps[i].source = names[below(MODEL_BITMAPS)];
		if (steps[i].action == BITMAP_IMPORT)
			some_ranges(ranges[i], &steps[i], size);
		possible = possible && model_step(tried, &tried->items[which], &steps[i], bits, size);
	}
	bool good = spec_of(&spec, path, FORMAT_QCOW2) && (bitmap_change(&c, e) == 0) == possible;

	if (possible)
		*s = *tried;
	else if (good)
		*e = (struct err)ERR_INIT;
	free(tried);
	spec_fini(&spec);
	return good;
}

/* --- the comparison --- */

/* What the file says is what is known from here on. */
static inline bool bitmap_is(struct bitmap_set *set, struct bitmap *b, struct model_bitmap *m,
			     uint64_t size, struct err *e)
{
	bool dirty[MODEL_GRANULES] = { false };
	uint64_t guest = 0, len;

	do {
		if (bitmap_next(set, b, &guest, &len, e) < 0)
			return false;
		granules_mark(dirty, m->bits, guest, len);
		guest += len;
	} while (len);
	for (uint64_t i = 0; i < bitmap_bits(size, m->bits); i++)
		if (dirty[i] ? !m->may[i] : m->must[i]) {
			printf("# granule %llu of 2^%u bytes %s dirty\n", (unsigned long long)i,
			       m->bits, dirty[i] ? "is" : "is not");
			return false;
		}
	memcpy(m->must, dirty, sizeof dirty);
	memcpy(m->may, dirty, sizeof dirty);
	return true;
}

static inline bool bitmaps_are_in(struct bitmap_set *set, struct model_bitmaps *s, uint64_t size,
				  struct err *e)
{
	size_t nr = 0;

	for (unsigned i = 0; i < MODEL_BITMAPS; i++) {
		struct model_bitmap *m = &s->items[i];
		uint8_t name = (uint8_t)('a' + i);
		struct bitmap *b = bitmap_find(set, (struct bytes){ &name, 1 });

		nr += m->there;
		if (!b != !m->there ||
		    (b && (b->entry.granularity_bits != m->bits ||
			   b->entry.flags != (m->enabled ? BITMAP_AUTO : 0u) ||
			   !bitmap_is(set, b, m, size, e)))) {
			printf("# bitmap %c differs\n", 'a' + i);
			return false;
		}
	}
	return nr == set->nr && !set->is_void;
}

/* The image has these bitmaps and no others. */
static inline bool bitmaps_are(const char *path, struct model_bitmaps *s, uint64_t size,
			       struct err *e)
{
	struct disk *d = disk_of(path, FORMAT_QCOW2, DISK_NO_BACKING, e);
	struct bitmap_set set = { 0 };
	bool good = d && bitmap_set_load(&set, disk_image(d, 0), e) == 0 &&
		    bitmaps_are_in(&set, s, size, e);

	bitmap_set_fini(&set);
	disk_close(d);
	return good;
}
