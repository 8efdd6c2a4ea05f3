#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A writer for output of many small pieces. Numbers are rendered here, for a row of a table
 * of 60,000 is mostly numbers. A spool that holds lets nothing out before spool_end() says
 * that all went well: a program that reads JSON gets a whole document or none. What does not
 * fit in memory waits in a temporary file, in $TMPDIR or else /tmp. There is an end to that: a hostile
 * image has more to say than any disk holds, and what is longer than SPOOL_HELD_MAX is let out as it
 * comes. */
#define SPOOL_HELD_MAX (UINT64_C(256) << 20)

struct spool {
	FILE *to;
	FILE *held;  /* what has left the buffer, when holding; NULL: nothing yet */
	bool hold;
	uint64_t held_len, held_max; /* bytes */
	char *buf;
	size_t used, room;
	bool failed; /* bytes were lost */
};

/* False when memory is out. */
bool spool_begin(struct spool *s, FILE *to, bool hold);
/* Writes what was held if `ok`, forgets it if not. False when anything was lost; errors of
 * `to` itself stay to be seen with ferror(). */
bool spool_end(struct spool *s, bool ok);

/* What does not fit in the buffer any more. */
void spool_overflow(struct spool *s, const void *bytes, size_t n);

static inline void spool_bytes(struct spool *s, const void *bytes, size_t n)
{
	if (n > s->room - s->used) {
		spool_overflow(s, bytes, n);
		return;
	}
	memcpy(s->buf + s->used, bytes, n);
	s->used += n;
}

static inline void spool_text(struct spool *s, const char *text)
{
	spool_bytes(s, text, strlen(text));
}

void spool_decimal(struct spool *s, uint64_t value);
/* "0x1f", but "0" for zero, with blanks behind up to `width` (at most 32). */
void spool_hex(struct spool *s, uint64_t value, unsigned width);
