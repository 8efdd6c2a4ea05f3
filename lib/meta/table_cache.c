#include "meta/table_cache_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"

#define SLICE_BITS_MAX 16
/* How many slices stay: a reader in guest order needs two, the rest serves other threads. A chain
 * may have 200 layers with a cache each, so it is bytes that are bounded, not slices. */
#define BYTES_KEPT  (256u << 10)
#define SLICES_MIN  4
#define SLICES_MAX  64

struct table_cache *table_cache_new(struct file *f, unsigned cluster_bits, struct err *e)
{
	struct table_cache *c = calloc(1, sizeof *c);

	if (!c) {
		err_nomem(e);
		return NULL;
	}
	c->file = f;
	c->slice_bits = MIN(cluster_bits, SLICE_BITS_MAX);
	c->keep = MAX(MIN(BYTES_KEPT >> c->slice_bits, SLICES_MAX), SLICES_MIN);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void slice_free(struct cached_slice *s)
{
	free(s->bytes);
	free(s);
}

void table_cache_free(struct table_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < TABLE_BUCKETS; i++)
		for (struct cached_slice *s = c->buckets[i], *next; s; s = next) {
			next = s->next;
			slice_free(s);
		}
	pthread_mutex_destroy(&c->lock);
	free(c);
}

unsigned table_cache_slice_bits(const struct table_cache *c)
{
	return c->slice_bits;
}

static struct cached_slice *find_locked(struct table_cache *c, uint64_t off)
{
	struct cached_slice *s = *table_bucket(c, off);

	while (s && s->slice.off != off)
		s = s->next;
	return s;
}

bool table_cache_reaches(struct table_cache *c, uint64_t off)
{
	if (off < file_size(c->file))
		return true;
	LOCKED(&c->lock);
	return find_locked(c, align_down(off, UINT64_C(1) << c->slice_bits)) != NULL;
}

void table_slice_rests(struct table_cache *c, struct cached_slice *s)
{
	s->waits = false;
	s->newer = NULL;
	s->older = c->newest;
	if (s->older)
		s->older->newer = s;
	c->newest = s;
	c->nr++;
}

/* From the list of those that rest. */
static void take_out(struct table_cache *c, struct cached_slice *s)
{
	*(s->newer ? &s->newer->older : &c->newest) = s->older;
	if (s->older)
		s->older->newer = s->newer;
	c->nr--;
}

void table_slice_waits(struct table_cache *c, struct cached_slice *s)
{
	take_out(c, s);
	s->waits = true;
	c->waiting++;
}

void table_slice_drop(struct table_cache *c, struct cached_slice *s)
{
	struct cached_slice **at = table_bucket(c, s->slice.off);

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (s->waits)
		c->waiting--;
	else
		take_out(c, s);
	s->detached = true;
	if (!s->users)
		slice_free(s);
}

/* Makes room for one more: what was not used for longest goes, if nobody holds it. Those that wait
 * may be many more than those that rest, and are not looked at. */
static void evict_locked(struct table_cache *c)
{
	struct cached_slice *oldest = NULL;

	if (c->nr < c->keep)
		return;
	for (struct cached_slice *s = c->newest; s; s = s->older)
		if (!s->users && (!oldest || s->last_use < oldest->last_use))
			oldest = s;
	if (oldest)
		table_slice_drop(c, oldest);
}

/* A slice whose bytes are anything yet. */
static struct cached_slice *add_locked(struct table_cache *c, uint64_t off, struct err *e)
{
	size_t size = (size_t)1 << c->slice_bits;
	struct cached_slice *s;

	evict_locked(c);
	s = calloc(1, sizeof *s);
	if (s && !(s->bytes = aligned_alloc(size < 4096 ? size : 4096, size))) {
		free(s);
		s = NULL;
	}
	if (!s) {
		err_nomem(e);
		return NULL;
	}
	s->slice = (struct table_slice){ off, s->bytes };
	s->last_use = ++c->clock;
	s->next = *table_bucket(c, off);
	*table_bucket(c, off) = s;
	table_slice_rests(c, s);
	return s;
}

static struct cached_slice *load_locked(struct table_cache *c, uint64_t off, struct err *e)
{
	struct cached_slice *s = find_locked(c, off);

	if (s || !(s = add_locked(c, off, e))) {
		if (s)
			s->last_use = ++c->clock;
		return s;
	}
	if (file_read_padded(c->file, off, s->bytes, (size_t)1 << c->slice_bits, NULL, e) == 0)
		return s;
	table_slice_drop(c, s);
	return NULL;
}

int table_cache_get(struct table_cache *c, uint64_t off, const struct table_slice **out,
		    struct err *e)
{
	LOCKED(&c->lock);
	struct cached_slice *s = load_locked(c, off, e);

	if (!s)
		return -1;
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
	if (!--s->users && s->detached)
		slice_free(s);
}

/* Who holds a slice keeps it as it is: the edit goes to a copy that takes its place. */
static struct cached_slice *own_locked(struct table_cache *c, struct cached_slice *held,
				       struct err *e)
{
	struct cached_slice was = *held, *s;

	if (!held->users)
		return held;
	held->users++; /* not to be freed before it was copied */
	table_slice_drop(c, held);
	s = add_locked(c, was.slice.off, e);
	if (s) {
		memcpy(s->bytes, held->bytes, (size_t)1 << c->slice_bits);
		s->made = was.made;
		s->from = was.from;
		s->to = was.to;
		if (was.waits)
			table_slice_waits(c, s);
	}
	held->users--; /* others hold it still */
	return s;
}

static void mark_locked(struct table_cache *c, struct cached_slice *s, uint32_t from,
			uint32_t to)
{
	atomic_store_explicit(&c->edited, true, memory_order_relaxed);
	if (!s->waits) {
		table_slice_waits(c, s);
		s->from = from;
		s->to = to;
	}
	s->from = MIN(s->from, from);
	s->to = MAX(s->to, to);
}

static struct cached_slice *edit_locked(struct table_cache *c, uint64_t off, size_t n,
					struct err *e)
{
	uint64_t size = UINT64_C(1) << c->slice_bits;
	struct cached_slice *s = load_locked(c, align_down(off, size), e);

	if (!s || !(s = own_locked(c, s, e)))
		return NULL;
	uint32_t in_slice = (uint32_t)(off & (size - 1));

	mark_locked(c, s, in_slice, in_slice + (uint32_t)n);
	return s;
}

int table_cache_edit(struct table_cache *c, uint64_t off, const void *p, size_t n,
		     struct err *e)
{
	uint64_t size = UINT64_C(1) << c->slice_bits;
	LOCKED(&c->lock);

	while (n) {
		size_t in_slice = (size_t)(off & (size - 1)), part = MIN(n, size - in_slice);
		struct cached_slice *s = edit_locked(c, off, part, e);

		if (!s)
			return -1;
		memcpy(s->bytes + in_slice, p, part);
		off += part;
		p = (const uint8_t *)p + part;
		n -= part;
	}
	return 0;
}

uint8_t *table_cache_modify(struct table_cache *c, uint64_t off, size_t n, struct err *e)
{
	LOCKED(&c->lock);
	struct cached_slice *s = edit_locked(c, off, n, e);

	return s ? s->bytes + (off & ((UINT64_C(1) << c->slice_bits) - 1)) : NULL;
}

int table_cache_make(struct table_cache *c, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t size = UINT64_C(1) << c->slice_bits;
	LOCKED(&c->lock);

	for (uint64_t at = off; at < off + len; at += size) {
		struct cached_slice *s = find_locked(c, at);

		if (s)
			table_slice_drop(c, s);
		s = add_locked(c, at, e);
		if (!s)
			return -1;
		memset(s->bytes, 0, size);
		s->made = true;
		mark_locked(c, s, 0, (uint32_t)size);
	}
	return 0;
}
