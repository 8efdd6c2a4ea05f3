#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/disk.h"

/* Whether two disks read the same. */
enum compare_answer {
	COMPARE_SAME,	     /* where sizes differ, the tail of the longer one is all zeros */
	COMPARE_CONTENT,     /* bytes differ */
	COMPARE_SIZE,	     /* strict: the sizes differ */
	COMPARE_ALLOCATION,  /* strict: data here, none there */
};

/* What was being done when compare_disks() failed. */
enum compare_step { COMPARE_MAPPING, COMPARE_READING };

struct compare_options {
	bool strict;	  /* sizes and allocation must agree too */
	unsigned workers; /* 0: as many as there are processors */
};

struct compare_result {
	enum compare_answer answer;
	uint64_t offset; /* CONTENT: guest offset of the first sector (512 bytes) that
			  * differs; ALLOCATION: of the first byte */
	bool tail;	 /* sizes differ, and what both have is the same */
	enum compare_step step; /* after a failure */
};

/* Compares all guest bytes; bytes are read only where one of the two may have something
 * else than zeros. The answer and the offset do not depend on the number of workers, nor on
 * which read came back first: of several differences and failures the first in guest order
 * counts. */
int compare_disks(struct disk *a, struct disk *b, const struct compare_options *o,
		  const struct watch *w, struct compare_result *r,
		  struct err *e) MUST_CHECK;
