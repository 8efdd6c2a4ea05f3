#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "out/pace.h"

/* How far a long operation has come. Shown, it prints `    (12.50/100%)\r` records; hidden, it
 * only remembers, so that a signal handler can ask. */
struct progress {
	FILE *to;		     /* NULL: hidden */
	unsigned step;		     /* smallest rise that is printed, in 1/100 % */
	unsigned printed;	     /* last record, in 1/100 % */
	_Atomic unsigned hundredths; /* 0..10000 */
	struct pace pace;	     /* beside the records; see progress_show_pace() */
};

/* Shown (to != NULL): prints the first record, 0.00. step_percent 1..100. */
void progress_begin(struct progress *p, FILE *to, unsigned step_percent);
/* Shown: rate and time left too, on another stream, which is a terminal. bytes: the units of
 * progress_update() are bytes. */
void progress_show_pace(struct progress *p, FILE *to, bool bytes);
/* done <= total in any unit; total 0 counts as done. Never goes back. `arg` is the struct
 * progress: fits struct watch (base/watch.h). One thread at a time. */
void progress_update(void *arg, uint64_t done, uint64_t total);
/* Before something else is written to that terminal. */
void progress_clear_pace(struct progress *p);
/* Shown: prints 100.00 if `ok` and ends the line in either case. */
void progress_end(struct progress *p, bool ok);
/* Writes one record that ends in a newline to descriptor fd. Safe in a signal handler. */
void progress_report(const struct progress *p, int fd);
