#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/disk.h"

/* Moves what an overlay holds into a layer behind it, its base. */
struct commit_options {
	const struct spec *file; /* the overlay */
	const char *base;	 /* the base as the chain knows it; NULL: the immediate backing file */
	bool drop;		 /* the overlay is not emptied; implied by `base` */
	uint64_t rate;		 /* bytes a second, 0: no limit */
	unsigned workers;	 /* 0: as many as there are processors */
	unsigned write_flags;	 /* FILE_DIRECT, FILE_SYNC_WRITES, FILE_NO_FLUSH of what is changed */
	const struct watch *watch;
	const struct listener *listener;
};

/* The base then holds what a guest of the overlay sees, and is as long, or longer. What layers
 * between the two hold is taken along; they stay as they are and are of no use any more. The overlay
 * is emptied when the base is durable, so that a crash at any point leaves it reading the same;
 * running this again completes the job. */
int commit(const struct commit_options *o, struct err *e) MUST_CHECK;

/* What commit() would do. */
struct commit_measure {
	uint64_t copied, zeroed; /* bytes of the disk */
	uint64_t base_size, size; /* bytes: what the base has, and is to have */
	bool emptied;
};
/* Changes nothing, and locks the files as a reader does. */
int commit_measure(const struct commit_options *o, struct commit_measure *m,
		   struct err *e) MUST_CHECK;
