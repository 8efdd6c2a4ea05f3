#pragma once
#include <stddef.h>
#include <stdint.h>

enum size_result {
	SIZE_OK,
	SIZE_MALFORMED,	   /* not a size */
	SIZE_OUT_OF_RANGE, /* a size, but above 2^63 - 1 */
	SIZE_HEX_SUFFIX,   /* a size, spelled as 0x10k: accepted, deprecated */
};

/* Parses a size as a person types it: decimal with an optional fraction and one of the
 * suffixes b k m g t p e (powers of 1024, either case), or hexadecimal. A fraction needs a
 * scaling suffix and is rounded to the nearest byte. *out in bytes, 0..2^63-1, set for
 * SIZE_OK and SIZE_HEX_SUFFIX. Exact integer arithmetic throughout. */
enum size_result size_parse(const char *text, uint64_t *out);

/* Renders a size for a person: three significant digits, "512 B", "1.5 KiB", "196 KiB".
 * The next unit begins at 1000 of the lower one. Returns buf. */
#define SIZE_TEXT_MAX 32
char *size_render(uint64_t bytes, char buf[SIZE_TEXT_MAX]);
