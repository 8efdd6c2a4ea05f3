#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* How fast a long operation is, and how long it will take still: a line for a person at a
 * terminal, written over itself and taken away at the end. */
struct pace {
	FILE *to;	       /* NULL: nothing is shown */
	bool bytes;	       /* the units are bytes: their rate is shown too */
	uint64_t (*now)(void); /* nanoseconds; a test has its own */
	uint64_t then, done;   /* the last look: when, and how far it had come */
	double rate;	       /* units a nanosecond, of late; 0: not known yet */
	int width;	       /* characters that stand there */
};

void pace_begin(struct pace *p, FILE *to, bool bytes);
/* Shows the line, at most twice a second. hundredths: of a per cent, as the record says. */
void pace_update(struct pace *p, unsigned hundredths, uint64_t done, uint64_t total);
/* Takes the line away, to make room for something else; the next update brings it back. */
void pace_clear(struct pace *p);
