/* Edited slices on their way to the file. */
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "meta/table_cache_internal.h"

/* Neighbours are written together, up to this many bytes. */
#define STORE_ROOM ((size_t)256 << 10)

static int by_place(const void *a, const void *b)
{
	const struct cached_slice *x = *(struct cached_slice *const *)a;
	const struct cached_slice *y = *(struct cached_slice *const *)b;

	return x->slice.off < y->slice.off ? -1 : x->slice.off > y->slice.off;
}

/* The slices to be written, in file order; the caller frees the list. */
static int list_locked(struct table_cache *c, bool only_made, struct cached_slice ***list,
		       size_t *nr, struct err *e)
{
	*nr = 0;
	*list = malloc((c->waiting + 1) * sizeof **list);
	if (!*list)
		return err_nomem(e);
	for (size_t i = 0; i < TABLE_BUCKETS; i++)
		for (struct cached_slice *s = c->buckets[i]; s; s = s->next)
			if (s->waits && (s->made || !only_made))
				(*list)[(*nr)++] = s;
	qsort(*list, *nr, sizeof **list, by_place);
	return 0;
}

/* Bytes of the slice that are written: whole sectors, for a sector is what a disk writes. */
static uint64_t start_of(const struct cached_slice *s)
{
	return s->slice.off + align_down(s->from, 512);
}

static size_t length_of(const struct cached_slice *s)
{
	return align_up(s->to, 512) - align_down(s->from, 512);
}

static int gather_write(struct table_cache *c, struct cached_slice **list, size_t nr,
			uint8_t *room, struct err *e)
{
	uint64_t off = start_of(list[0]);
	size_t n = 0;

	if (nr == 1)
		return file_write_at(c->file, off, list[0]->bytes + (off - list[0]->slice.off),
				     length_of(list[0]), e);
	for (size_t i = 0; i < nr; i++) {
		memcpy(room + n, list[i]->bytes + align_down(list[i]->from, 512),
		       length_of(list[i]));
		n += length_of(list[i]);
	}
	return file_write_at(c->file, off, room, n, e);
}

static void stored_locked(struct table_cache *c, struct cached_slice *s)
{
	s->made = false;
	c->waiting--;
	table_slice_rests(c, s);
}

/* What was many while it waited is too many to keep. */
static void shrink_locked(struct table_cache *c, struct cached_slice **list, size_t nr)
{
	for (size_t i = 0; i < nr && c->nr > c->keep; i++)
		if (!list[i]->users)
			table_slice_drop(c, list[i]);
}

int table_cache_store(struct table_cache *c, enum table_store_what what, struct err *e)
{
	AUTO_FREE uint8_t *room = NULL;
	AUTO_FREE struct cached_slice **list = NULL;
	size_t nr;
	LOCKED(&c->lock);

	if (!c->waiting)
		return 0;
	room = malloc(STORE_ROOM);
	if (!room)
		return err_nomem(e);
	if (list_locked(c, what == TABLE_STORE_MADE, &list, &nr, e) < 0)
		return -1;
	for (size_t i = 0, end; i < nr; i = end) {
		size_t n = length_of(list[i]);

		for (end = i + 1; end < nr && start_of(list[end]) == start_of(list[i]) + n &&
				  n + length_of(list[end]) <= STORE_ROOM;
		     end++)
			n += length_of(list[end]);
		if (gather_write(c, list + i, end - i, room, e) < 0)
			return -1;
		for (size_t k = i; k < end; k++)
			stored_locked(c, list[k]);
	}
	shrink_locked(c, list, nr);
	return 0;
}

bool table_cache_is_edited(const struct table_cache *c)
{
	return atomic_load_explicit(&c->edited, memory_order_relaxed);
}

size_t table_cache_waiting(struct table_cache *c)
{
	LOCKED(&c->lock);
	return c->waiting;
}

static void drop_all(struct table_cache *c, bool waiting)
{
	LOCKED(&c->lock);
	for (size_t i = 0; i < TABLE_BUCKETS; i++)
		for (struct cached_slice *s = c->buckets[i], *next; s; s = next) {
			next = s->next;
			if (s->waits == waiting)
				table_slice_drop(c, s);
		}
}

void table_cache_revert(struct table_cache *c)
{
	drop_all(c, true);
}

void table_cache_forget_all(struct table_cache *c)
{
	drop_all(c, false);
}

void table_cache_forget(struct table_cache *c, uint64_t off, uint64_t len)
{
	uint64_t size = UINT64_C(1) << c->slice_bits;
	LOCKED(&c->lock);

	for (uint64_t at = align_down(off, size); at < off + len; at += size)
		for (struct cached_slice *s = *table_bucket(c, at), *next; s; s = next) {
			next = s->next;
			if (s->slice.off == at)
				table_slice_drop(c, s);
		}
}
