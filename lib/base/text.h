#pragma once
#include <stddef.h>
#include <stdint.h>

/* Text that came out of an image goes to terminals and logs. These make it harmless. */

/* Copies n bytes of text to out as printable UTF-8: control and format characters (C0, C1,
 * DEL, bidi marks and overrides, zero-width characters, line and paragraph separators) and
 * bytes that are not valid UTF-8 become \xNN or \u{NNNN}. Always terminated; cut at a whole
 * character, with "..." at the end, when out_size is too small. out_size >= 8. Returns out. */
char *text_escape(const void *text, size_t n, char *out, size_t out_size);

/* Copies text as it is, up to a zero byte, and cut at a whole character where out_size is too small.
 * Always terminated. Returns out. */
char *text_keep(const void *text, size_t n, char *out, size_t out_size);

/* Decodes one UTF-8 character at p (n > 0 bytes there). Returns its length and stores the
 * code point; returns 0 when the bytes are not valid UTF-8 (overlong forms, surrogates and
 * values above U+10FFFF included). */
size_t text_decode_utf8(const uint8_t *p, size_t n, uint32_t *code_point);
