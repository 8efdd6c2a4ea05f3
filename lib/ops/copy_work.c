/* Reads the bytes of a job, finds the zeros among them, packs. */
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "ops/copy.h"

static int read_failed(const struct copy *c, unsigned source, uint64_t guest, struct err *e)
{
	err_ctx(e, "error while reading at byte %llu", (unsigned long long)guest);
	return copy_failed_at(disk_name(c->o->sources[source]), e);
}

static int piece_read(struct copy *c, struct copy_worker *w, struct copy_slot *s,
		      const struct copy_piece *p, struct err *e)
{
	struct err attempt = ERR_INIT;

	if (p->x.reads_zero) {
		memset(s->in + p->at, 0, p->x.len);
		return 0;
	}
	if (disk_read_extent(w->readers[p->source], &p->x, s->in + p->at, &attempt) == 0)
		return 0;
	if (c->o->salvage) {
		copy_salvage(w->readers[p->source], s, p->x.guest, p->at, p->x.len);
		return 0;
	}
	*e = attempt;
	return read_failed(c, p->source, p->x.guest, e);
}

int copy_range_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
		    size_t len, struct err *e)
{
	struct err attempt = ERR_INIT;

	if (disk_read(w->readers[0], s->guest + at, s->in + at, len, &attempt) == 0)
		return 0;
	if (c->o->salvage) {
		copy_salvage(w->readers[0], s, s->guest + at, at, len);
		return 0;
	}
	*e = attempt;
	return read_failed(c, 0, s->guest + at, e);
}

int copy_into_read(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
		   size_t len, struct err *e)
{
	if (disk_read(w->into, s->guest + at, s->in + at, len, e) == 0)
		return 0;
	err_ctx(e, "error while reading at byte %llu", (unsigned long long)(s->guest + at));
	return copy_failed_at(disk_name(c->into), e);
}

/* What the source itself calls zero needs no searching, and is left out however short it is. */
static void known_zero(struct copy *c, struct copy_slot *s, size_t at, size_t end)
{
	size_t first = div_up(at, c->step), last = end == s->len ? div_up(end, c->step) : end / c->step;

	if (c->o->sparse && first < last)
		memset(s->step_state + first, COPY_ZERO, last - first);
}

static int pieces_read(struct copy *c, struct copy_worker *w, struct copy_slot *s,
		       struct err *e)
{
	size_t at = 0, zero_from = 0;

	memset(s->step_state, COPY_DATA, div_up(s->len, c->step));
	for (size_t i = 0; i < s->piece_nr; i++) {
		const struct copy_piece *p = &s->pieces[i];

		memset(s->in + at, 0, p->at - at);
		if (piece_read(c, w, s, p, e) < 0)
			return -1;
		at = p->at + p->x.len;
		if (!p->x.reads_zero) {
			known_zero(c, s, zero_from, p->at);
			zero_from = at;
		}
	}
	memset(s->in + at, 0, s->len - at);
	known_zero(c, s, zero_from, s->len);
	return 0;
}

/* The steps at `at` and behind it that hold data; elsewhere the buffer holds nothing. */
static size_t data_stretch(const struct copy *c, const struct copy_slot *s, size_t at)
{
	size_t end = at;

	while (end < s->len && s->step_state[end / c->step] == COPY_DATA)
		end += c->step;
	return MIN(end, s->len) - at;
}

/* Whether what is before or behind bytes from .. to-1, inside the job, is known to be zero. Of what lies
 * over something else, each piece speaks for itself. */
static bool touches_zeros(const struct copy *c, const struct copy_slot *s, size_t from, size_t to)
{
	return c->pick == COPY_ALL && (s->step_state[from / c->step - 1] == COPY_ZERO ||
				       s->step_state[to / c->step] == COPY_ZERO);
}

/* Turns what is zero into COPY_ZERO; runs shorter than the sparse size stay data. */
static void zeros_find(struct copy *c, struct copy_slot *s)
{
	size_t shortest = MIN(MAX(c->o->sparse, c->step), c->job_max);

	if (!c->o->sparse)
		return;
	if (c->o->compress && c->pick == COPY_ALL) /* there is no use in a packed cluster of zeros */
		shortest = MIN(shortest, (size_t)c->grid);
	for (size_t at = 0; at < s->len;) {
		size_t end = at + data_stretch(c, s, at);

		if (end == at)
			at += c->step;
		while (at < end) {
			bool zero;
			size_t run = bytes_zero_run(s->in + at, end - at, c->step, &zero);
			/* It may go on in the next job, or does in what is known to be zero. */
			bool edge = at == 0 || at + run >= s->len || touches_zeros(c, s, at, at + run);

			if (zero && (run >= shortest || edge))
				memset(s->step_state + at / c->step, COPY_ZERO,
				       div_up(run, c->step));
			at += run;
		}
	}
}

/* Whether bytes at .. end-1 of the job become a packed cluster, which replaces all that is there:
 * then all of it is in the buffer. A cluster of which the image itself holds a part stays as it
 * is. */
static int pack_prepare(struct copy *c, struct copy_worker *w, struct copy_slot *s, size_t at,
			size_t end, bool *packs, struct err *e)
{
	bool skips = false;

	*packs = false;
	for (size_t k = at; k < end; k += c->step) {
		*packs |= s->step_state[k / c->step] == COPY_DATA;
		skips |= s->step_state[k / c->step] != COPY_DATA;
	}
	if (!*packs || !skips || c->unit == c->grid)
		return 0;
	if (disk_top_is_silent(c->o->sources[0], s->guest + at, end - at, packs, e) < 0)
		return -1;
	return *packs ? copy_range_read(c, w, s, at, end - at, e) : 0;
}

/* The rest of the last cluster, behind the end of what is copied: zeros, unless the target is longer. */
static int tail_fill(struct copy *c, struct copy_worker *w, struct copy_slot *s, struct err *e)
{
	uint64_t end = s->guest + s->len, size = c->into ? disk_size(c->into) : end;
	size_t tail = align_up(s->len, c->grid) - s->len;
	size_t there = (size_t)MIN((uint64_t)tail, size - end);

	memset(s->in + s->len + there, 0, tail - there);
	return there ? copy_into_read(c, w, s, s->len, there, e) : 0;
}

static int clusters_pack(struct copy *c, struct copy_worker *w, struct copy_slot *s,
			 struct err *e)
{
	size_t size = (size_t)c->grid;

	if (tail_fill(c, w, s, e) < 0)
		return -1;
	for (size_t at = 0; at < s->len; at += size) {
		bool packs;

		if (pack_prepare(c, w, s, at, MIN(at + size, s->len), &packs, e) < 0)
			return -1;
		s->packed_len[at / size] =
			packs ? packer_pack(w->packer, s->in + at, s->out + at) : 0;
	}
	return 0;
}

int copy_work(void *ctx, void *worker, void *slot, struct err *e)
{
	struct copy *c = ctx;
	struct copy_worker *w = worker;
	struct copy_slot *s = slot;

	if (s->zero_len)
		return 0;
	if (c->pick != COPY_ALL ? copy_picked_read(c, w, s, e) < 0 : pieces_read(c, w, s, e) < 0)
		return -1;
	zeros_find(c, s);
	return c->o->compress ? clusters_pack(c, w, s, e) : 0;
}

int copy_write_steps(struct copy *c, const struct copy_slot *s, size_t at, size_t len,
		     uint64_t host, copy_write_fn *write, struct err *e)
{
	size_t end = at + len, start = at;

	while (at < end) {
		size_t run = 0;

		while (at + run < end && s->step_state[(at + run) / c->step] == COPY_DATA)
			run += c->step;
		run = MIN(run, end - at);
		if (run && write(c, s->guest + at, host + (at - start), s->in + at, run, e) < 0)
			return -1;
		at += run ? run : c->step;
	}
	return 0;
}

void copy_settled(struct copy *c, const struct copy_slot *s)
{
	copy_losses_warn(c, &s->losses);
	if (c->pick == COPY_BELOW_TOP)
		copy_count(c, s);
	watch_progress(c->o->watch, s->guest + (s->zero_len ? s->zero_len : s->len),
		       c->total);
}
