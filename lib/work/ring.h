#pragma once
#include <stdint.h>

#include "base/err.h"

/* An ordered worker pool. Jobs are numbered 0, 1, 2, ... and live in slots of a ring; each
 * passes four stages:
 *
 *   fill    in order, one at a time    says what the job is
 *   work    in parallel                does it
 *   settle  in order, one at a time    decides what depends on the jobs before it
 *   finish  in parallel, optional      does what needs no order any more
 *
 * `fill` and `settle` of different jobs may run at the same time (each on some thread), but
 * never two fills or two settles, and what one of them wrote the next one sees. All four may
 * run on any worker's thread. Results therefore depend on the jobs alone, never on the number
 * of workers.
 *
 * Errors: the lowest job that fails is the one reported, the same failure every time. So a
 * failure of job n does not stop the jobs below n, which go through all their stages and may
 * still fail; it stops everything above: nothing above n is filled, settled or finished any
 * more, and n itself goes no further. One case cannot be taken back: when `finish` of job n
 * fails, jobs above n may be settled and finished already. */
struct ring_ops {
	/* Returns 1 with the slot filled, 0 when there are no more jobs, -1 on error. Not
	 * called again after 0 or -1. */
	int (*fill)(void *ctx, void *slot, struct err *e);
	int (*work)(void *ctx, void *worker, void *slot, struct err *e);
	/* Returns 1 if the job has something to finish, 0 if it is done, -1 on error. */
	int (*settle)(void *ctx, void *slot, struct err *e);
	/* May be NULL when settle never returns 1. */
	int (*finish)(void *ctx, void *worker, void *slot, struct err *e);
};

struct ring_config {
	unsigned workers;     /* 1..64; 1 runs everything on the calling thread, no thread made */
	unsigned slots;	      /* >= workers; 2 x workers keeps everyone busy */
	void **slot;	      /* `slots` pointers, owned by the caller, to the caller's job structs */
	void **worker;	      /* `workers` pointers to per-worker state, owned by the caller; may be
				 NULL */
	void *ctx;
	const struct ring_ops *ops;
};

/* Runs until fill says 0 and all jobs are done, or until the first error; the calling thread
 * is one of the workers. No thread is made before there are two jobs, and those that cannot be
 * created are done without. No thread is left and no stage runs any more when it returns. */
int ring_run(const struct ring_config *c, struct err *e) MUST_CHECK;

/* Processors that this process may use, at least 1. */
unsigned ring_processors(void);
