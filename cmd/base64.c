#include "cmd/base64.h"

#include <string.h>

static int value_of(uint8_t c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Four characters in, up to three bytes out; 0: they are none. */
static size_t group_decode(const uint8_t in[4], uint8_t *out)
{
	size_t padding = in[3] == '=' ? in[2] == '=' ? 2 : 1 : 0;
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i + padding >= 4 ? 0 : value_of(in[i]);

		if (value < 0)
			return 0;
		bits = bits << 6 | (uint32_t)value;
	}
	for (size_t i = 0; i < 3 - padding; i++)
		out[i] = (uint8_t)(bits >> (16 - 8 * i));
	return 3 - padding;
}

bool base64_decode(uint8_t *text, size_t *n)
{
	size_t out = 0, have = 0, len = 3;
	uint8_t group[4];

	for (size_t i = 0; i < *n; i++) {
		if (text[i] == '\n' || text[i] == '\r')
			continue;
		if (len != 3) /* something follows what was the last group */
			return false;
		group[have++] = text[i];
		if (have < 4)
			continue;
		len = group_decode(group, text + out);
		if (!len)
			return false;
		out += len;
		have = 0;
	}
	*n = out;
	return !have;
}
