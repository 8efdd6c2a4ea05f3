#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/align.h"
#include "base/watch.h"
#include "format/limits.h"
#include "image/bits.h"
#include "image/image.h"
#include "image/writer.h"

/* The persistent bitmaps of an image (9). They are changed in memory, as a set; bitmap_set_store()
 * then makes all of it true at once, and nothing is written before that. */
struct bitmap {
	struct bitmap_entry entry; /* as in the directory; its bytes are borrowed */
	struct bits bits;	   /* what it holds, once `loaded` */
	bool loaded;
	bool changed; /* the bits are not, or not all, those of the file */
	bool stored;  /* the entry leads to a table in the file */
	bool lost;    /* it had a table that can't be believed, and needs another one */
	bool shared;  /* it leads to a cluster that may be somebody else's */
};

struct bitmap_set {
	struct image *img;
	struct bitmap *items;
	size_t nr, room;
	struct bitmap_entry *gone; /* what they left in the file */
	size_t gone_nr, gone_room;
	bool is_void; /* there are bitmaps in the file, but the disk was changed without them, or
		       * they can't be read */
	bool adopted; /* it is void, and its bitmaps have been taken in as inconsistent ones */
	bool changed;
	bool held; /* a writer has them: in the file those that record are in use */
};

/* Loads the directory. A set that is void is empty. ERR_CORRUPT, and an empty set, when the
 * directory can't be read. */
int bitmap_set_load(struct bitmap_set *s, struct image *img, struct err *e) MUST_CHECK;
void bitmap_set_fini(struct bitmap_set *s);
/* Of a void set, takes in the bitmaps that the directory in the file still names, as inconsistent
 * ones. To be looked at; before they are stored bitmap_set_revive() has to agree. ERR_CORRUPT, and
 * an empty set, when there is no directory any more. Others stay as they are. */
int bitmap_set_adopt(struct bitmap_set *s, struct err *e) MUST_CHECK;
/* The same for a set that is to be changed: the directory's clusters must be nobody else's. When the
 * set is stored it is in force again, each bitmap inconsistent or as it was made. */
int bitmap_set_revive(struct bitmap_set *s, struct image_writer *w, struct err *e) MUST_CHECK;
/* Before the set, which was just loaded, changes: ERR_CORRUPT when a cluster of a bitmap may be somebody
 * else's as well, for whoever changes the bitmap would give it up, or write to it. */
int bitmap_set_own(struct bitmap_set *s, struct image_writer *w, const struct watch *watch,
		   struct err *e) MUST_CHECK;
/* NULL if there is none of that name. */
struct bitmap *bitmap_find(struct bitmap_set *s, struct bytes name);

/* Loads what a bitmap holds. ERR_UNSUPPORTED for what must not be used: in use when its writer went
 * away, extra data that we don't know. */
int bitmap_load(struct bitmap_set *s, struct bitmap *b, struct err *e) MUST_CHECK;
/* Forgets what it holds, if that is not changed. */
void bitmap_unload(struct bitmap *b);
/* May it be used? */
int bitmap_usable(const struct bitmap *b, struct err *e) MUST_CHECK;

/* A new one, empty and enabled. `name` is borrowed until the set is gone. ERR_INVALID for what the
 * format, or this disk, has no room for. */
int bitmap_add(struct bitmap_set *s, struct bytes name, unsigned granularity_bits,
	       struct err *e) MUST_CHECK;
/* Any may be removed. Pointers to bitmaps are void afterwards. */
int bitmap_remove(struct bitmap_set *s, struct bitmap *b, struct err *e) MUST_CHECK;
/* All of them go, and what a void set or one that can't be read has left in the header. */
int bitmap_remove_all(struct bitmap_set *s, struct err *e) MUST_CHECK;
int bitmap_enable(struct bitmap_set *s, struct bitmap *b, bool enable, struct err *e) MUST_CHECK;
int bitmap_clear(struct bitmap_set *s, struct bitmap *b, struct err *e) MUST_CHECK;
/* One that was in use becomes whole again: all of the disk is dirty, and changes are recorded. */
int bitmap_as_full(struct bitmap_set *s, struct bitmap *b, struct err *e) MUST_CHECK;
/* Marks guest bytes, all inside the disk, as dirty. */
int bitmap_mark(struct bitmap_set *s, struct bitmap *b, uint64_t guest, uint64_t len,
		struct err *e) MUST_CHECK;
/* Marks in `b` what is dirty in `from`, of the same image or of another whose disk has the same
 * size. */
int bitmap_merge(struct bitmap_set *s, struct bitmap *b, struct bitmap_set *from_set,
		 struct bitmap *from, struct err *e) MUST_CHECK;
/* The first dirty stretch at or behind guest byte *guest; *len = 0 if there is none. It ends with
 * the disk at the latest. */
int bitmap_next(struct bitmap_set *s, struct bitmap *b, uint64_t *guest, uint64_t *len,
		struct err *e) MUST_CHECK;

/* Makes the file agree with the set, if it was changed: all or nothing, durably. A crash leaves the
 * old set, the new set or, where the header gets its first or loses its last bitmap, a void one.
 * Afterwards set and writer can only be freed, and the disk is to be opened again. */
int bitmap_set_store(struct bitmap_set *s, struct image_writer *w, const struct watch *watch,
		     struct err *e) MUST_CHECK;

/* The same for a set that was loaded before its bit was withdrawn, changed or not: the set is in
 * force again. The writer may go on, with a set that is loaded anew. */
int bitmap_set_promise(struct bitmap_set *s, struct image_writer *w, const struct watch *watch,
		       struct err *e) MUST_CHECK;

/* What a bitmap gets that asks for nothing else: a cluster, as far as that is sensible. */
static inline unsigned bitmap_granularity_bits(unsigned cluster_bits)
{
	return MIN(MAX(cluster_bits, 12), 16);
}

/* Bits for a disk of this size. */
static inline uint64_t bitmap_bits(uint64_t disk_size, unsigned granularity_bits)
{
	return div_up(disk_size, UINT64_C(1) << granularity_bits);
}

/* The bits *first .. *end-1 that guest bytes guest .. guest+len-1 (len > 0) touch. */
static inline void bitmap_touched(uint64_t guest, uint64_t len, unsigned granularity_bits,
				  uint64_t *first, uint64_t *end)
{
	*first = guest >> granularity_bits;
	*end = ((guest + len - 1) >> granularity_bits) + 1;
}

/* Whether the bits fit into what readers are ready to load (9.6). */
static inline bool bitmap_fits(uint64_t disk_size, unsigned granularity_bits, unsigned cluster_bits)
{
	return bitmap_table_entries(disk_size, granularity_bits, cluster_bits) <=
	       (uint64_t)BITMAP_BYTES_MAX >> cluster_bits;
}
