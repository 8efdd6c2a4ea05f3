#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t text_decode_utf8(const uint8_t *p, size_t n, uint32_t *code_point)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t v;
	size_t len;

	if (p[0] < 0x80) {
		*code_point = p[0];
		return 1;
	}
	len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
		return 0;
	v = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < smallest[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	*code_point = v;
	return len;
}

/* Characters that move the cursor, hide, or reorder what a person reads. */
static bool is_harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe0fff);
}

char *text_escape(const void *text, size_t n, char *out, size_t out_size)
{
	const uint8_t *p = text;
	size_t used = 0, cut = 0; /* cut: the last place that leaves room for "..." */

	for (size_t pos = 0; pos < n;) {
		char piece[16];
		uint32_t c;
		size_t len = text_decode_utf8(p + pos, n - pos, &c), piece_len;

		if (!len) {
			len = 1;
			piece_len = (size_t)snprintf(piece, sizeof piece, "\\x%02x", p[pos]);
		} else if (is_harmful(c)) {
			piece_len = (size_t)snprintf(piece, sizeof piece,
						     c < 0x80 ? "\\x%02x" : "\\u{%04x}", c);
		} else {
			memcpy(piece, p + pos, len);
			piece_len = len;
		}
		if (used + piece_len + 1 > out_size) {
			memcpy(out + cut, "...", 3);
			used = cut + 3;
			break;
		}
		memcpy(out + used, piece, piece_len);
		used += piece_len;
		pos += len;
		if (used + 4 <= out_size)
			cut = used;
	}
	out[used] = 0;
	return out;
}

char *text_keep(const void *text, size_t n, char *out, size_t out_size)
{
	const uint8_t *p = text;
	size_t len = n ? strnlen(text, n) : 0;

	if (len >= out_size)
		for (len = out_size - 1; len > out_size - 4 && len && (p[len] & 0xc0) == 0x80;)
			len--;
	if (len)
		memcpy(out, p, len);
	out[len] = 0;
	return out;
}
