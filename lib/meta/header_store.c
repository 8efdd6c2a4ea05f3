#include "meta/header_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "format/header.h"

/* A header cluster, and which of its bytes a reader looks at: those below list_end, and the name. */
struct view {
	const uint8_t *bytes;
	size_t list_end, name_off, name_end;
};

static int view_of(const uint8_t *bytes, size_t size, struct header *h, struct view *v,
		   struct err *e)
{
	if (header_decode(bytes, size, h, e) < 0)
		return -1;
	size_t list_end = h->header_length + h->extensions.n + 8; /* with its end marker */

	*v = (struct view){
		.bytes = bytes,
		.list_end = MIN(list_end, h->backing_off ? (size_t)h->backing_off : size),
		.name_off = h->backing_name.n ? (size_t)h->backing_off : 0,
		.name_end = h->backing_name.n ? (size_t)h->backing_off + h->backing_name.n : 0,
	};
	return 0;
}

static bool looks_at(const struct view *v, size_t at)
{
	return at < v->list_end || (at >= v->name_off && at < v->name_end);
}

static size_t view_end(const struct view *v)
{
	return MAX(v->list_end, v->name_end);
}

/* Whether all that `to` needs behind the first sector can be put there while `from` is in force. */
static bool can_follow(const struct view *from, const struct view *to)
{
	for (size_t at = SECTOR_SIZE; at < view_end(to); at++)
		if (looks_at(to, at) && looks_at(from, at) && from->bytes[at] != to->bytes[at])
			return false;
	return true;
}

/* Writes the sectors of [from, to) that hold a byte at which `bytes` has to become something else;
 * what `only` does not look at stays. */
static int bytes_change(struct file *f, uint8_t *bytes, const uint8_t *wanted, size_t from,
			size_t to, const struct view *only, bool *changed, struct err *e)
{
	size_t first = to, end = from;

	for (size_t at = from; at < to; at++) {
		if (bytes[at] == wanted[at] || (only && !looks_at(only, at)))
			continue;
		bytes[at] = wanted[at];
		first = MIN(first, at);
		end = at + 1;
	}
	*changed = first < end;
	if (!*changed)
		return 0;
	first = align_down(first, SECTOR_SIZE);
	return file_write_at(f, first, bytes + first, align_up(end, SECTOR_SIZE) - first, e);
}

/* The part of a safe step that nobody notices. */
static int tail_write(struct file *f, uint8_t *bytes, const struct view *to, bool *changed,
		      struct err *e)
{
	return bytes_change(f, bytes, to->bytes, SECTOR_SIZE, MAX(view_end(to), SECTOR_SIZE), to,
			    changed, e);
}

/* One safe step: the header in the file becomes the one of `to`, which can follow it. */
static int step(struct file *f, uint8_t *bytes, const struct view *to, struct err *e)
{
	bool changed;

	if (tail_write(f, bytes, to, &changed, e) < 0 || (changed && file_flush(f, e) < 0) ||
	    bytes_change(f, bytes, to->bytes, 0, SECTOR_SIZE, NULL, &changed, e) < 0)
		return -1;
	return changed ? file_flush(f, e) : 0;
}

/* The way from one header to another: `nr` safe steps, or none. */
struct way {
	uint8_t *was, *room; /* clusters that the views lead into */
	struct view steps[2];
	unsigned nr;
};

static void way_fini(struct way *w)
{
	free(w->was);
	free(w->room);
}

/* Lays h out as `form` says. False: it does not fit so. */
static bool lay(const struct header *h, const struct header_form *form, uint8_t *bytes,
		size_t size, struct view *v)
{
	struct err ignored = ERR_INIT;
	struct header decoded;

	return header_encode_as(bytes, h, form, &ignored) == 0 &&
	       view_of(bytes, size, &decoded, v, &ignored) == 0;
}

/* Two steps: the one in between says what the old one says, and its name is out of the way. */
static bool between_find(struct way *w, const struct header *h, const struct view *old,
			 const struct view *new, size_t size)
{
	size_t behind = MAX(view_end(old), view_end(new));
	const struct header_form forms[] = {
		{ true, old->name_off },
		{ false, behind },
		{ true, behind },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (lay(h, &forms[i], w->room, size, &w->steps[0]) &&
		    can_follow(old, &w->steps[0]) && can_follow(&w->steps[0], new)) {
			w->steps[1] = *new;
			return true;
		}
	return false;
}

static int way_find(struct way *w, const uint8_t *bytes, const uint8_t *wanted, size_t size,
		    struct err *e)
{
	struct view old, new;
	struct header h, h_new;

	*w = (struct way){ .was = malloc(size), .room = malloc(size) };
	if (!w->was || !w->room)
		return err_nomem(e);
	memcpy(w->was, bytes, size); /* what h leads to stays as it is while `bytes` changes */
	if (view_of(w->was, size, &h, &old, e) < 0 || view_of(wanted, size, &h_new, &new, e) < 0)
		return -1;
	struct header_form behind = { false, MAX(view_end(&old), new.list_end) };

	w->steps[0] = new;
	if (can_follow(&old, &new) ||
	    (lay(&h_new, &behind, w->room, size, &w->steps[0]) && can_follow(&old, &w->steps[0])))
		w->nr = 1;
	else if (between_find(w, &h, &old, &new, size))
		w->nr = 2;
	return 0;
}

/* Somebody's extensions are not for us to put at risk: they stay where they are, or the change is
 * refused. */
static int at_once_check(const uint8_t *bytes, const uint8_t *wanted, size_t size, struct err *e)
{
	struct header_ext x;
	struct header h;

	if (header_decode(bytes, size, &h, e) < 0)
		return -1;
	for (struct rd r = rd_over(h.extensions.p, h.extensions.n);
	     header_ext_next_unknown(&r, &x, e) > 0;) {
		size_t at = (size_t)(x.data.p - bytes) - EXT_HEADER_BYTES;

		if (memcmp(bytes + at, wanted + at, EXT_HEADER_BYTES + x.data.n) != 0)
			return err_set(e, ERR_UNSUPPORTED,
				       "the header has extensions that are not known here and reach "
				       "past its first sector: a crash could tear what has to be "
				       "changed");
	}
	return 0;
}

int header_store_check(const uint8_t *bytes, const uint8_t *wanted, size_t size, struct err *e)
{
	struct way w;
	int ret = way_find(&w, bytes, wanted, size, e);

	if (ret == 0 && !w.nr)
		ret = at_once_check(bytes, wanted, size, e);
	way_fini(&w);
	return ret;
}

/* In one write, as far as they differ. */
static int store_at_once(struct file *f, uint8_t *bytes, const uint8_t *wanted, size_t size,
			 struct err *e)
{
	bool changed;

	if (bytes_change(f, bytes, wanted, 0, size, NULL, &changed, e) < 0)
		return -1;
	return file_flush(f, e);
}

int header_store_begin(struct file *f, uint8_t *bytes, const uint8_t *wanted, size_t size,
		       struct err *e)
{
	struct way w;
	bool changed;
	int ret = way_find(&w, bytes, wanted, size, e);

	if (ret == 0 && w.nr)
		ret = tail_write(f, bytes, &w.steps[0], &changed, e);
	way_fini(&w);
	return ret;
}

int header_store(struct file *f, uint8_t *bytes, const uint8_t *wanted, size_t size,
		 struct err *e)
{
	struct way w;
	bool changed;
	int ret = way_find(&w, bytes, wanted, size, e);

	if (ret == 0 && !w.nr)
		ret = at_once_check(bytes, wanted, size, e) < 0
			      ? -1
			      : store_at_once(f, bytes, wanted, size, e);
	for (unsigned i = 0; ret == 0 && i < w.nr; i++)
		ret = step(f, bytes, &w.steps[i], e);
	/* Nobody looks at what is left of the old one: nothing is lost if it stays. */
	if (ret == 0 && w.nr)
		ret = bytes_change(f, bytes, w.steps[w.nr - 1].bytes, SECTOR_SIZE, size, NULL,
				   &changed, e);
	way_fini(&w);
	return ret;
}
