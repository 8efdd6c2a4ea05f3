#pragma once
/* Bytes for tests of records: worked examples as hex, and copies that end where they end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Decodes hex digits, blanks ignored, and returns the number of bytes. */
static inline size_t hex(const char *text, uint8_t *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text; text++) {
		const char *d = strchr(digits, *text);

		if (!d)
			continue;
		if (n % 2 == 0)
			out[n / 2] = (uint8_t)((d - digits) << 4);
		else
			out[n / 2] |= (uint8_t)(d - digits);
		n++;
	}
	return n / 2;
}

/* A copy of exactly n bytes: a sanitizer guards the very next one. */
static inline uint8_t *exact_copy(const void *from, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	if (n)
		memcpy(copy, from, n);
	return copy;
}

static inline bool bytes_are(struct bytes b, const char *want)
{
	return b.n == strlen(want) && !memcmp(b.p, want, b.n);
}

static inline bool bytes_same(struct bytes a, struct bytes b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

/* The message is one line, and says what it should. */
static inline bool err_says(const struct err *e, enum err_code code, const char *text)
{
	return e->code == code && strstr(e->text, text) && !strchr(e->text, '\n');
}
