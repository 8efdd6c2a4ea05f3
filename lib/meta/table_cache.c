#include "meta/table_cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/cleanup.h"

#define SLICE_BITS_MAX 16
/* How many slices stay: a reader in guest order needs two, the rest serves other threads. A chain
 * may have 200 layers with a cache each, so it is bytes that are bounded, not slices. */
#define BYTES_KEPT  (256u << 10)
#define SLICES_MIN  4
#define SLICES_MAX  64

struct cached_slice {
	struct table_slice slice; /* first: a slice handed out leads back to its slot */
	uint8_t *bytes;
	unsigned users;
	uint64_t last_use; /* 0: holds nothing */
	bool temporary;	   /* belongs to no slot, goes with its last user */
};

struct table_cache {
	struct file *file;
	unsigned slice_bits;
	pthread_mutex_t lock; /* guards everything below, and is held while a slice is read */
	uint64_t clock;
	unsigned slot_nr; /* SLICES_MIN..SLICES_MAX */
	struct cached_slice slots[SLICES_MAX];
};

struct table_cache *table_cache_new(struct file *f, unsigned cluster_bits, struct err *e)
{
	struct table_cache *c = calloc(1, sizeof *c);

	if (!c) {
		err_nomem(e);
		return NULL;
	}
	c->file = f;
	c->slice_bits = MIN(cluster_bits, SLICE_BITS_MAX);
	c->slot_nr = MAX(MIN(BYTES_KEPT >> c->slice_bits, SLICES_MAX), SLICES_MIN);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void table_cache_free(struct table_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->slot_nr; i++)
		free(c->slots[i].bytes);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

unsigned table_cache_slice_bits(const struct table_cache *c)
{
	return c->slice_bits;
}

bool table_cache_reaches(const struct table_cache *c, uint64_t off)
{
	return off < file_size(c->file);
}

/* The slot that holds `off`, else the least recently used one without users, else a
 * temporary one. *hit tells which. */
static struct cached_slice *slot_for_locked(struct table_cache *c, uint64_t off, bool *hit)
{
	struct cached_slice *oldest = NULL;

	*hit = true;
	for (size_t i = 0; i < c->slot_nr; i++) {
		struct cached_slice *s = &c->slots[i];

		if (s->last_use && s->slice.off == off)
			return s;
		if (!s->users && (!oldest || s->last_use < oldest->last_use))
			oldest = s;
	}
	*hit = false;
	if (!oldest) {
		oldest = calloc(1, sizeof *oldest);
		if (oldest)
			oldest->temporary = true;
	}
	return oldest;
}

static void slot_drop(struct cached_slice *s)
{
	s->last_use = 0;
	if (s->temporary) {
		free(s->bytes);
		free(s);
	}
}

static int slot_load_locked(struct table_cache *c, struct cached_slice *s, uint64_t off,
			    struct err *e)
{
	size_t size = (size_t)1 << c->slice_bits;

	s->last_use = 0;
	if (!s->bytes && !(s->bytes = aligned_alloc(size < 4096 ? size : 4096, size)))
		return err_nomem(e);
	if (file_read_padded(c->file, off, s->bytes, size, NULL, e) < 0)
		return -1;
	s->slice = (struct table_slice){ off, s->bytes };
	return 0;
}

int table_cache_get(struct table_cache *c, uint64_t off, const struct table_slice **out,
		    struct err *e)
{
	LOCKED(&c->lock);
	bool hit;
	struct cached_slice *s = slot_for_locked(c, off, &hit);

	if (!s)
		return err_nomem(e);
	if (!hit && slot_load_locked(c, s, off, e) < 0) {
		slot_drop(s);
		return -1;
	}
	s->last_use = ++c->clock;
	s->users++;
	*out = &s->slice;
	return 0;
}

void table_cache_put(struct table_cache *c, const struct table_slice *slice)
{
	struct cached_slice *s = (struct cached_slice *)slice;

	if (!s)
		return;
	LOCKED(&c->lock);
	if (!--s->users && s->temporary)
		slot_drop(s);
}
