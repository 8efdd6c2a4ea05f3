#include "work/ring.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Job n lives in slot n % slots, from `fill` until it is done. There is no dispatcher: under
 * one lock, each worker looks for something that may be done now, marks it busy, does it
 * without the lock, and looks again.
 *
 * What may be done is a matter of state alone (next_step), so nothing can be overlooked. A
 * worker that finds nothing sleeps. A step that ends opens at most two others (a settled job
 * lets itself be finished and its neighbour be settled): its own worker takes one, and one
 * signal wakes somebody for the other. When nothing may be done and nobody is busy, nothing
 * ever will: that is the end, after success and failure alike. */

#define WORKERS_MAX 64

enum state {
	FREE,
	FILLED,
	WORKED,
	SETTLED,
	BUSY, /* some worker is doing the next step */
};

struct cell {
	enum state state;
	unsigned owner; /* the worker that touched it last: its cache has the bytes */
};

struct ring {
	const struct ring_config *c;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct cell *cell; /* c->slots */
	uint64_t filled;   /* jobs filled: the number of the next one to fill */
	uint64_t settled;  /* jobs settled: the number of the next one to settle */
	uint64_t done;	   /* every job below is done */
	uint64_t limit;	   /* the lowest job that failed; only jobs below it go on */
	bool filling, settling, no_more;
	unsigned busy, asleep;
	struct err err; /* what happened to job `limit` */
};

struct step {
	enum state from; /* FREE: fill it, FILLED: work on it, ... */
	uint64_t job;
};

static struct cell *cell_of(struct ring *r, uint64_t job)
{
	return &r->cell[job % r->c->slots];
}

static bool may_settle(struct ring *r)
{
	return !r->settling && r->settled < r->filled && r->settled < r->limit &&
	       cell_of(r, r->settled)->state == WORKED;
}

static bool may_fill(struct ring *r)
{
	return !r->filling && !r->no_more && r->limit == UINT64_MAX &&
	       cell_of(r, r->filled)->state == FREE;
}

/* The lowest job to be worked on or finished, of `owner` or of anybody (WORKERS_MAX). */
static bool find(struct ring *r, enum state state, unsigned owner, struct step *s)
{
	for (uint64_t job = r->done; job < r->filled && job < r->limit; job++) {
		const struct cell *cell = cell_of(r, job);

		if (cell->state != state || (owner != WORKERS_MAX && cell->owner != owner))
			continue;
		*s = (struct step){ state, job };
		return true;
	}
	return false;
}

/* Settling comes early because others wait for it, finishing what another worker began comes
 * last because that worker will soon be back for it, with the bytes in its cache. */
static bool next_step(struct ring *r, unsigned me, struct step *s)
{
	if (find(r, SETTLED, me, s) || find(r, FILLED, me, s))
		return true;
	if (may_settle(r)) {
		*s = (struct step){ WORKED, r->settled };
		return true;
	}
	if (find(r, FILLED, WORKERS_MAX, s))
		return true;
	if (may_fill(r)) {
		*s = (struct step){ FREE, r->filled };
		return true;
	}
	return find(r, SETTLED, WORKERS_MAX, s);
}

static int step_do(struct ring *r, const struct step *s, unsigned me, struct err *e)
{
	const struct ring_config *c = r->c;
	void *slot = c->slot[s->job % c->slots], *worker = c->worker ? c->worker[me] : NULL;

	switch (s->from) {
	case FREE:
		return c->ops->fill(c->ctx, slot, e);
	case FILLED:
		return c->ops->work(c->ctx, worker, slot, e);
	case WORKED:
		return c->ops->settle(c->ctx, slot, e);
	default:
		return c->ops->finish(c->ctx, worker, slot, e);
	}
}

static void step_begin(struct ring *r, const struct step *s, unsigned me)
{
	struct cell *cell = cell_of(r, s->job);

	r->busy++;
	r->filling |= s->from == FREE;
	r->settling |= s->from == WORKED;
	if (s->from != WORKED) /* settling looks at the job, not at its bytes */
		cell->owner = me;
	cell->state = BUSY;
}

static void step_end(struct ring *r, const struct step *s, int result)
{
	struct cell *cell = cell_of(r, s->job);

	r->busy--;
	switch (s->from) {
	case FREE:
		r->filling = false;
		r->no_more = result == 0;
		cell->state = result > 0 ? FILLED : FREE;
		r->filled += result > 0;
		break;
	case FILLED:
		cell->state = WORKED;
		break;
	case WORKED:
		r->settling = false;
		r->settled += result >= 0;
		cell->state = result > 0 ? SETTLED : FREE;
		break;
	default:
		cell->state = FREE;
	}
	while (r->done < r->settled && cell_of(r, r->done)->state == FREE)
		r->done++;
}

static void step_failed(struct ring *r, const struct step *s, const struct err *e)
{
	if (s->job >= r->limit)
		return;
	r->limit = s->job;
	r->err = *e;
}

/* Called with the lock, which is given back while the step is done. */
static void step_run(struct ring *r, const struct step *s, unsigned me)
{
	struct err e = ERR_INIT;

	step_begin(r, s, me);
	pthread_mutex_unlock(&r->lock);
	int result = step_do(r, s, me, &e);
	pthread_mutex_lock(&r->lock);
	step_end(r, s, result);
	if (result < 0)
		step_failed(r, s, &e);
	if (r->asleep)
		pthread_cond_signal(&r->wake);
}

static void ring_work(struct ring *r, unsigned me)
{
	LOCKED(&r->lock);

	for (;;) {
		struct step s;

		if (next_step(r, me, &s)) {
			step_run(r, &s, me);
		} else if (r->busy) {
			r->asleep++;
			pthread_cond_wait(&r->wake, &r->lock);
			r->asleep--;
		} else {
			pthread_cond_broadcast(&r->wake);
			return;
		}
	}
}

/* Starting a thread takes longer than looking for work that is not there, or for one: others are
 * called when there are two jobs. */
static bool has_two_jobs(struct ring *r)
{
	LOCKED(&r->lock);

	while (r->c->workers > 1 && r->filled < 2 && may_fill(r))
		step_run(r, &(struct step){ FREE, r->filled }, 0);
	return r->filled == 2;
}

struct helper {
	struct ring *r;
	unsigned me;
	pthread_t thread;
};

static void *helper_main(void *arg)
{
	const struct helper *h = arg;

	ring_work(h->r, h->me);
	return NULL;
}

int ring_run(const struct ring_config *c, struct err *e)
{
	struct helper helper[WORKERS_MAX];
	AUTO_FREE struct cell *cell = calloc(c->slots, sizeof *cell);
	unsigned nr = 1;

	assert(c->workers >= 1 && c->workers <= WORKERS_MAX && c->slots >= c->workers);
	if (!cell)
		return err_nomem(e);

	struct ring r = { .c = c, .cell = cell, .limit = UINT64_MAX, .err = ERR_INIT };

	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.wake, NULL);
	for (unsigned wanted = has_two_jobs(&r) ? c->workers : 1; nr < wanted; nr++) {
		helper[nr] = (struct helper){ .r = &r, .me = nr };
		if (pthread_create(&helper[nr].thread, NULL, helper_main, &helper[nr]))
			break;
	}
	ring_work(&r, 0);
	while (--nr > 0)
		pthread_join(helper[nr].thread, NULL);
	pthread_cond_destroy(&r.wake);
	pthread_mutex_destroy(&r.lock);

	if (r.limit == UINT64_MAX)
		return 0;
	if (!err_is(e))
		*e = r.err;
	return -1;
}

unsigned ring_processors(void)
{
	cpu_set_t set;
	int nr = 0;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		nr = CPU_COUNT(&set);
	else /* more processors than a cpu_set_t has bits */
		nr = (int)sysconf(_SC_NPROCESSORS_ONLN);
	return nr > 0 ? (unsigned)nr : 1;
}
