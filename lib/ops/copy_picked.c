/* Where not all is copied: which units are, as the layers say, and where two disks are compared,
 * whether the other one holds them just so. */
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "ops/copy.h"

/* What is compared at a time: it stays in the processor's cache until that is done. */
#define CHUNK ((size_t)64 << 10)

size_t copy_chunk(const struct copy *c)
{
	return MAX((size_t)c->unit, CHUNK);
}

/* Whether the unit has to be read: one that is wanted in part is taken whole. */
static bool is_read(const struct copy *c, const struct copy_slot *s, size_t at, size_t end)
{
	size_t data = 0, zero = 0, nr = 0;

	for (; at < end; at += c->step, nr++) {
		data += s->step_state[at / c->step] == COPY_DATA;
		zero += s->step_state[at / c->step] == COPY_ZERO;
	}
	return data || (zero && zero != nr);
}

static void states_set(const struct copy *c, struct copy_slot *s, size_t at, size_t end,
		       enum copy_state state)
{
	memset(s->step_state + at / c->step, (int)state, div_up(end - at, c->step));
}

/* Whole units, some of which are wanted only in part: the rest is as the guest sees it, or, where
 * the target is no copy of the same disk, as the target has it. */
static int mixed_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
		      size_t end, struct err *e)
{
	if (!c->into || c->pick != COPY_ABOVE)
		return copy_range_read(c, w, s, at, end - at, e);
	for (size_t to; at < end; at = to) {
		bool skip = s->step_state[at / c->step] == COPY_SKIP;

		for (to = at; to < end && (s->step_state[to / c->step] == COPY_SKIP) == skip;)
			to += c->step;
		to = MIN(to, end);
		if (skip ? copy_into_read(c, w, s, at, to - at, e) < 0
			 : copy_range_read(c, w, s, at, to - at, e) < 0)
			return -1;
	}
	return 0;
}

/* Reads the units of [at, end) that hold data, neighbours together. */
static int units_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
		      size_t end, struct err *e)
{
	size_t unit = (size_t)c->unit, to;

	for (; at < end; at = to) {
		bool read = is_read(c, s, at, MIN(at + unit, end));

		for (to = at + unit; to < end && is_read(c, s, to, MIN(to + unit, end)) == read;)
			to += unit;
		to = MIN(to, end);
		if (!read)
			continue;
		if (mixed_read(c, w, s, at, to, e) < 0)
			return -1;
		states_set(c, s, at, to, COPY_DATA);
	}
	return 0;
}

static void states_mark(struct copy *c, struct copy_slot *s, const struct copy_piece *p)
{
	size_t first = p->at / c->step, end = div_up(p->at + p->x.len, c->step);
	size_t stop = p->at + p->x.len;
	/* Zeros that fill a step only in part leave the rest of it to the backing file. */
	bool cut = p->at % c->step || (stop % c->step && stop != s->len);
	bool zero = p->x.kind == EXTENT_ZERO && !cut;

	for (size_t i = first; i < end; i++)
		if (s->step_state[i] != COPY_DATA)
			s->step_state[i] = zero ? COPY_ZERO : COPY_DATA;
}

/* The other disk's bytes, zeros behind its end. */
static int other_read(struct copy *c, struct copy_worker *w, uint64_t guest, size_t n,
		      struct err *e)
{
	uint64_t size = c->other ? disk_size(c->other) : 0;
	size_t inside = guest < size ? (size_t)MIN((uint64_t)n, size - guest) : 0;

	if (inside && disk_read(w->other, guest, w->other_bytes, inside, e) < 0) {
		err_ctx(e, "error while reading at byte %llu", (unsigned long long)guest);
		return err_ctx(e, "%s", disk_name(c->other));
	}
	memset(w->other_bytes + inside, 0, n - inside);
	return 0;
}

/* Bytes at .. to-1 of the job, of one state, against those of the other disk. */
static bool is_same(const struct copy_slot *s, const uint8_t *other, size_t at, size_t to,
		    enum copy_state state)
{
	return state == COPY_ZERO ? bytes_are_zero(other, to - at)
				  : !memcmp(other, s->in + at, to - at);
}

/* A run of units that are all to be compared: those that are the same are not copied. */
static int run_compare(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
		       size_t end, enum copy_state state, struct err *e)
{
	size_t unit = (size_t)c->unit, from = at;

	if (other_read(c, w, s->guest + at, end - at, e) < 0)
		return -1;
	if (is_same(s, w->other_bytes, at, end, state)) {
		states_set(c, s, at, end, COPY_SKIP);
		return 0;
	}
	for (; at < end; at += unit) {
		size_t to = MIN(at + unit, end);

		if (is_same(s, w->other_bytes + (at - from), at, to, state))
			states_set(c, s, at, to, COPY_SKIP);
	}
	return 0;
}

static int units_compare(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
			 size_t end, struct err *e)
{
	size_t to;

	for (; at < end; at = to) {
		enum copy_state state = copy_unit_state(c, s, at);

		for (to = at + c->unit; to < end && copy_unit_state(c, s, to) == state;)
			to += c->unit;
		to = MIN(to, end);
		if (state != COPY_SKIP && run_compare(c, w, s, at, to, state, e) < 0)
			return -1;
	}
	return 0;
}

int copy_picked_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, struct err *e)
{
	size_t chunk = copy_chunk(c);

	memset(s->step_state, COPY_SKIP, div_up(s->len, c->step));
	for (size_t i = 0; i < s->piece_nr; i++)
		states_mark(c, s, &s->pieces[i]);
	if (c->pick != COPY_BELOW_TOP)
		return units_read(c, w, s, 0, s->len, e);
	for (size_t at = 0; at < s->len; at += chunk) {
		size_t end = MIN(at + chunk, s->len);

		if (units_read(c, w, s, at, end, e) < 0 ||
		    units_compare(c, w, s, at, end, e) < 0)
			return -1;
	}
	return 0;
}

void copy_count(struct copy *c, const struct copy_slot *s)
{
	for (size_t at = 0; at < s->len; at += c->unit) {
		enum copy_state state = copy_unit_state(c, s, at);
		size_t len = MIN((size_t)c->unit, s->len - at);

		c->data_len += state == COPY_DATA ? len : 0;
		c->zero_len += state == COPY_ZERO ? len : 0;
	}
}

int copy_dry_settle(struct copy *c, struct copy_slot *s)
{
	copy_settled(c, s); /* that counts */
	return 0;
}
