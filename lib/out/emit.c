#include "out/emit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "base/text.h"

struct emit emit_over(FILE *to, bool json)
{
	return (struct emit){
		.to = to,
		.kind = json ? EMIT_JSON : EMIT_TEXT,
		.escape = !json && isatty(fileno(to)),
	};
}

static void put_indent(struct emit *e, unsigned levels)
{
	fprintf(e->to, "%*s", (int)(4 * levels), "");
}

/* What stands in front of a JSON value: comma, line, indentation, key. */
static void json_lead(struct emit *e, const char *key)
{
	if (!e->depth)
		return;
	fputs(e->nr[e->depth]++ ? ",\n" : "\n", e->to);
	put_indent(e, e->depth);
	if (!e->in_list[e->depth])
		fprintf(e->to, "\"%s\": ", key);
}

/* Members of a list that has a heading are numbered. */
static bool in_numbered_list(const struct emit *e)
{
	return e->depth && e->in_list[e->depth] && e->headed[e->depth];
}

/* The same for text; false when the field is not for people. */
static bool text_lead(struct emit *e, const char *label)
{
	if (!label && !in_numbered_list(e))
		return false;
	put_indent(e, e->indent);
	if (label)
		fprintf(e->to, "%s: ", label);
	else
		fprintf(e->to, "[%u]: ", e->nr[e->depth]++);
	return true;
}

/* True when a value is to be printed now, in e->kind. */
static bool lead(struct emit *e, const char *key, const char *label)
{
	if (e->kind == EMIT_TEXT)
		return text_lead(e, label);
	if (!key && e->depth && !e->in_list[e->depth])
		return false;
	json_lead(e, key);
	return true;
}

static void value_done(struct emit *e)
{
	if (e->kind == EMIT_TEXT)
		putc('\n', e->to);
}

static void begin_text(struct emit *e, const char *label)
{
	bool headed = label || in_numbered_list(e);

	if (headed) {
		put_indent(e, e->indent);
		if (label)
			fprintf(e->to, "%s:\n", label);
		else
			fprintf(e->to, "[%u]:\n", e->nr[e->depth]++);
		e->indent++;
	}
	e->headed[e->depth + 1] = headed;
}

static void begin(struct emit *e, const char *key, const char *label, bool list)
{
	if (e->depth == EMIT_DEPTH_MAX)
		abort(); /* our own nesting, never an image's */
	if (e->kind == EMIT_TEXT) {
		begin_text(e, label);
	} else {
		json_lead(e, key);
		putc(list ? '[' : '{', e->to);
	}
	e->depth++;
	e->in_list[e->depth] = list;
	e->nr[e->depth] = 0;
}

void emit_begin(struct emit *e, const char *key, const char *label)
{
	begin(e, key, label, false);
}

void emit_begin_list(struct emit *e, const char *key, const char *label)
{
	begin(e, key, label, true);
}

void emit_end(struct emit *e)
{
	bool list = e->in_list[e->depth], empty = !e->nr[e->depth];
	bool headed = e->headed[e->depth];

	e->depth--;
	if (e->kind == EMIT_TEXT) {
		e->indent -= headed;
		return;
	}
	if (!empty) {
		putc('\n', e->to);
		put_indent(e, e->depth);
	}
	putc(list ? ']' : '}', e->to);
	if (!e->depth)
		putc('\n', e->to);
}

void emit_raw_text(struct emit *e, const void *text, size_t n)
{
	if (e->kind != EMIT_TEXT)
		return;
	if (!e->escape) {
		fwrite(text, 1, n, e->to);
		return;
	}
	for (size_t pos = 0; pos < n;) { /* piece by piece: any length, no allocation */
		char piece[64];
		uint32_t c;
		size_t len = text_decode_utf8((const uint8_t *)text + pos, n - pos, &c);

		len = len ? len : 1;
		fputs(text_escape((const char *)text + pos, len, piece, sizeof piece), e->to);
		pos += len;
	}
}

void emit_bytes(struct emit *e, const char *key, const char *label, const void *value,
		size_t n)
{
	if (!lead(e, key, label))
		return;
	if (e->kind == EMIT_TEXT)
		emit_raw_text(e, value, n);
	else
		emit_json_string(e->to, value, n);
	value_done(e);
}

void emit_string(struct emit *e, const char *key, const char *label, const char *value)
{
	emit_bytes(e, key, label, value, strlen(value));
}

void emit_integer(struct emit *e, const char *key, const char *label, uint64_t value)
{
	if (!lead(e, key, label))
		return;
	fprintf(e->to, "%" PRIu64, value);
	value_done(e);
}

void emit_bool(struct emit *e, const char *key, const char *label, bool value)
{
	if (!lead(e, key, label))
		return;
	fputs(value ? "true" : "false", e->to);
	value_done(e);
}

void emit_size(struct emit *e, const char *key, const char *label, uint64_t bytes)
{
	char text[SIZE_TEXT_MAX];

	if (!lead(e, key, label))
		return;
	if (e->kind == EMIT_TEXT)
		fprintf(e->to, "%s (%" PRIu64 " bytes)", size_render(bytes, text), bytes);
	else
		fprintf(e->to, "%" PRIu64, bytes);
	value_done(e);
}

void emit_short_size(struct emit *e, const char *key, const char *label, uint64_t bytes)
{
	char text[SIZE_TEXT_MAX];

	if (!lead(e, key, label))
		return;
	if (e->kind == EMIT_TEXT)
		fputs(size_render(bytes, text), e->to);
	else
		fprintf(e->to, "%" PRIu64, bytes);
	value_done(e);
}

void emit_line(struct emit *e, const char *fmt, ...)
{
	va_list ap;

	if (e->kind != EMIT_TEXT)
		return;
	put_indent(e, e->indent);
	va_start(ap, fmt);
	vfprintf(e->to, fmt, ap);
	va_end(ap);
	putc('\n', e->to);
}

/* "\\uD83D"; a call of printf for each would be most of the time that long names take. */
static size_t json_escape(char *to, unsigned unit)
{
	static const char digits[] = "0123456789ABCDEF";

	to[0] = '\\';
	to[1] = 'u';
	for (unsigned i = 0; i < 4; i++)
		to[2 + i] = digits[unit >> (12 - 4 * i) & 15];
	return 6;
}

static void json_unit(FILE *to, uint32_t c)
{
	static const char short_for[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char text[12];
	size_t n = 0;

	for (const char *s = short_for; *s; s += 2)
		if ((uint32_t)(unsigned char)*s == c) {
			text[0] = '\\';
			text[1] = s[1];
			n = 2;
		}
	if (!n && c >= 0x20 && c < 0x7f)
		text[n++] = (char)c;
	else if (!n && c < 0x10000)
		n = json_escape(text, c);
	else if (!n) { /* a pair of surrogates: the only way to spell it in ASCII */
		n = json_escape(text, 0xd800 + ((c - 0x10000) >> 10));
		n += json_escape(text + n, 0xdc00 + (c & 0x3ff));
	}
	fwrite(text, 1, n, to);
}

void emit_json_string(FILE *to, const void *text, size_t n)
{
	const uint8_t *p = text;

	putc('"', to);
	for (size_t pos = 0; pos < n;) {
		uint32_t c;
		size_t len = text_decode_utf8(p + pos, n - pos, &c);

		json_unit(to, len ? c : 0xfffd);
		pos += len ? len : 1;
	}
	putc('"', to);
}
