#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What a long call reports to, and what may stop it. NULL is a watch that neither listens
 * nor stops. `progress` is called from one thread at a time, with done <= total in units of
 * the caller's choice; *stop becomes non-zero in a signal handler, on whatever
 * thread that runs; hence atomic. */
struct watch {
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	const atomic_int *stop;
};

static inline void watch_progress(const struct watch *w, uint64_t done, uint64_t total)
{
	if (w && w->progress)
		w->progress(w->arg, done, total);
}

/* Returns -1 with ERR_STOPPED once a stop was asked for. */
static inline int watch_stopped(const struct watch *w, struct err *e)
{
	if (w && w->stop && atomic_load(w->stop))
		return err_set(e, ERR_STOPPED, "interrupted");
	return 0;
}

/* The same watch for what must not be left half done. */
static inline struct watch watch_to_the_end(const struct watch *w)
{
	return w ? (struct watch){ w->progress, w->arg, NULL } : (struct watch){ 0 };
}

/* A part of the work, which reports as if it were all of it, and to `whole` as parts from .. to-1 of
 * `of`. It lives as long as anybody reports to it. */
struct watch_part {
	struct watch watch;
	const struct watch *whole;
	unsigned from, to, of;
};

/* Returns the watch of the part; NULL if `whole` is. */
const struct watch *watch_part_of(struct watch_part *p, const struct watch *whole, unsigned from,
				  unsigned to, unsigned of);
