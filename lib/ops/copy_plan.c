/* Cuts the disk into jobs. Holes and zeros are passed over by extent, not read. */
#include <time.h>

#include "base/align.h"
#include "ops/copy.h"

/* A gap of zeros inside a job costs clearing memory; from here on it ends the job. */
#define GAP_MAX 65536
/* Clusters that become zeros at once in an image that exists. */
#define ZERO_CLUSTERS_MAX ((uint64_t)1 << 18)

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Sleeps until the bytes handed out so far are within the rate; in short naps, so that a stop
 * is noticed. */
static int rate_wait(struct copy *c, struct err *e)
{
	if (!c->o->rate)
		return 0;
	if (!c->started_ns)
		c->started_ns = now_ns();
	for (;;) {
		double due = (double)c->filled / (double)c->o->rate * 1e9;
		double left = due - (double)(now_ns() - c->started_ns);
		struct timespec nap = { 0, (long)MIN(left, 50e6) };

		if (watch_stopped(c->o->watch, e) < 0)
			return -1;
		if (left <= 0)
			return 0;
		nanosleep(&nap, NULL);
	}
}

/* COPY_BELOW_TOP: what the top layer says itself stays, and so does what a shared layer says. Where
 * both the disk and the other one are known to read as zeros, nothing is to be compared: the
 * extent ends where that ends. All of these become ABSENT. */
static int below_top_judge(struct copy *c, uint64_t local, struct err *e)
{
	struct extent *x = &c->pending, y = { .len = x->len, .reads_zero = true };
	bool own = !x->depth && x->kind != EXTENT_ABSENT;

	if (own || x->depth >= c->depth_end) {
		x->kind = EXTENT_ABSENT;
		return 0;
	}
	if (!x->reads_zero)
		return 0;
	if (c->other && local < disk_size(c->other) &&
	    disk_next(c->other, local, MIN(x->len, disk_size(c->other) - local), &y, e) < 0)
		return -1;
	x->len = MIN(x->len, y.len);
	x->kind = y.reads_zero ? EXTENT_ABSENT : EXTENT_ZERO;
	return 0;
}

/* COPY_ABOVE: where the source reads as zeros because no layer that is left out reaches so far, another
 * one may show in the target. */
static int above_look(struct copy *c, struct disk *d, uint64_t local, uint64_t rest, struct err *e)
{
	uint64_t below = disk_layer_size(d, c->depth_end); /* 0: there is none */
	struct extent *x = &c->pending;

	if (disk_next_above(d, c->depth_end, local, rest, x, e) < 0)
		return -1;
	if (x->kind != EXTENT_ABSENT || local >= c->shown_end)
		return 0;
	if (local < below) {
		x->len = MIN(x->len, below - local);
		return 0;
	}
	x->len = MIN(x->len, c->shown_end - local);
	x->kind = EXTENT_ZERO;
	return 0;
}

static int extent_look(struct copy *c, struct disk *d, uint64_t local, uint64_t rest,
		       struct err *e)
{
	if (c->pick == COPY_ABOVE)
		return above_look(c, d, local, rest, e);
	if (c->pick == COPY_DIRTY)
		return copy_dirty_look(c, d, local, rest, e);
	if (disk_next(d, local, rest, &c->pending, e) < 0)
		return -1;
	return c->pick == COPY_BELOW_TOP ? below_top_judge(c, local, e) : 0;
}

/* Salvage: zeros stand for what cannot be looked up, as far as one failure reaches, and for
 * what no reader need try. */
static int extent_salvage(struct copy *c, struct copy_slot *s, uint64_t local,
			  const struct err *why)
{
	struct extent *x = &c->pending;

	if (!c->o->salvage || !x->len || why->code == ERR_INVALID || why->code == ERR_NOMEM)
		return -1;
	*x = (struct extent){ .guest = local, .len = x->len, .kind = EXTENT_ZERO,
			      .reads_zero = true };
	c->pending_lost = true;
	copy_losses_add(&s->losses, c->pos, x->len);
	return 0;
}

/* Makes c->pending the extent at c->pos, as the target counts. */
static int extent_find(struct copy *c, struct copy_slot *s, struct err *e)
{
	uint64_t at = c->pos + c->o->skip, local, rest;
	struct err why = ERR_INIT;
	struct disk *d;

	if (c->pending.len)
		return 0;
	c->pending_lost = false;
	if (c->pos >= c->window) {
		c->pending = (struct extent){ .len = c->total - c->pos, .kind = EXTENT_ABSENT,
					      .reads_zero = true };
		return 0;
	}
	while (at >= c->starts[c->source + 1])
		c->source++;
	d = c->o->sources[c->source];
	local = at - c->starts[c->source];
	rest = MIN(c->starts[c->source + 1] - at, c->window - c->pos);
	int ret = extent_look(c, d, local, rest, &why);

	if (ret == 0 && !(c->o->salvage && c->pending.cut_off))
		return 0;
	if (extent_salvage(c, s, local, &why) == 0)
		return 0;
	*e = why;
	return copy_failed_at(disk_name(d), e);
}

static void extent_consume(struct copy *c, uint64_t len)
{
	struct extent *x = &c->pending;

	c->pos += len;
	x->guest += len;
	x->host += len;
	x->len -= len;
}

static bool wanted(const struct copy *c, const struct extent *x)
{
	if (c->pick != COPY_ALL)
		return x->kind != EXTENT_ABSENT;
	return !x->reads_zero || !c->o->sparse;
}

/* A long run of zeros that has to be entered becomes a job of its own. */
static bool zero_job(struct copy *c, struct copy_slot *s)
{
	const struct extent *x = &c->pending;
	bool zeros = c->pick != COPY_ALL ? x->kind == EXTENT_ZERO
					 : x->reads_zero && c->o->sparse;
	uint64_t len = c->pos + x->len == c->total ? x->len : align_down(x->len, c->grid);

	if (!c->enter_zeros || c->pick == COPY_BELOW_TOP || !zeros || c->pos % c->grid || !len)
		return false;
	if (c->writer) /* what waits for a commit is bounded */
		len = MIN(len, c->grid * ZERO_CLUSTERS_MAX);
	s->guest = c->pos;
	s->zero_len = len;
	extent_consume(c, len);
	return true;
}

static void piece_add(struct copy *c, struct copy_slot *s)
{
	struct copy_piece *p = &s->pieces[s->piece_nr++];

	if (s->piece_nr == 1)
		s->guest = align_down(c->pos, c->grid);
	p->at = (size_t)(c->pos - s->guest);
	p->source = c->source;
	p->lost = c->pending_lost;
	p->x = c->pending;
	p->x.len = MIN(c->pending.len, c->job_max - p->at);
	extent_consume(c, p->x.len);
}

/* Passes over what is not wanted. Returns whether the job that was begun ends here. */
static bool gap_pass(struct copy *c, struct copy_slot *s)
{
	uint64_t len = c->pending.len;

	if (s->piece_nr && (c->pos + len >= s->guest + c->job_max ||
			    len >= MAX((uint64_t)GAP_MAX, c->grid)))
		return true;
	extent_consume(c, len);
	return false;
}

static void job_close(struct copy *c, struct copy_slot *s)
{
	uint64_t end = MIN(align_up(c->pos, c->grid), c->total);

	/* The rest of the last grid cell is known to be zeros. */
	if (end > c->pos)
		extent_consume(c, MIN(end - c->pos, c->pending.len));
	s->len = (size_t)(end - s->guest);
	c->filled += s->len;
}

int copy_fill(void *ctx, void *slot, struct err *e)
{
	struct copy *c = ctx;
	struct copy_slot *s = slot;

	s->piece_nr = s->place_nr = 0;
	s->losses.nr = 0;
	s->zero_len = 0;
	if (rate_wait(c, e) < 0)
		return -1;
	while (c->pos < c->total) {
		if (watch_stopped(c->o->watch, e) < 0 || extent_find(c, s, e) < 0)
			return -1;
		if (!s->piece_nr && zero_job(c, s))
			return 1;
		if (wanted(c, &c->pending) ||
		    (c->enter_zeros && c->pick == COPY_ALL && !s->piece_nr)) {
			piece_add(c, s);
			if (c->pos == s->guest + c->job_max)
				break;
		} else if (gap_pass(c, s)) {
			break;
		}
	}
	if (!s->piece_nr) {
		c->losses = s->losses; /* no job comes that could tell of them */
		return 0;
	}
	job_close(c, s);
	return 1;
}
