#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One call per field of a result; text for people or JSON for programs comes out behind it.
 *
 *	struct emit out = emit_over(stdout, json);
 *
 *	emit_begin(&out, NULL, NULL);
 *	emit_string(&out, "filename", "image", name);
 *	emit_size(&out, "virtual-size", "virtual size", size);
 *	emit_end(&out);
 *
 * `key` is the JSON key, `label` what a person reads; NULL leaves the field out of that kind
 * of output. Inside a list the key is NULL and means nothing.
 *
 * JSON: 4 blanks a level, ASCII only, one document ending in a newline. Text: `label: value`,
 * 4 blanks a level. Strings may come from an image: JSON replaces what is not UTF-8 by
 * U+FFFD, text on a terminal is escaped (base/text.h), text in a pipe is left alone. */

enum emit_kind { EMIT_TEXT, EMIT_JSON };

#define EMIT_DEPTH_MAX 15

struct emit {
	FILE *to;
	enum emit_kind kind;
	bool escape;		      /* text goes to a terminal */
	unsigned depth;		      /* open objects and lists */
	unsigned indent;	      /* text: levels with a heading */
	bool in_list[EMIT_DEPTH_MAX + 1];
	bool headed[EMIT_DEPTH_MAX + 1];
	unsigned nr[EMIT_DEPTH_MAX + 1]; /* members so far */
};

struct emit emit_over(FILE *to, bool json);

/* An object or list, closed by emit_end(). Text: a heading line `label:` and one level more,
 * or nothing at all where the label is NULL. Members of a list that has a heading are
 * introduced by `[N]:` where they have no label of their own. */
void emit_begin(struct emit *e, const char *key, const char *label);
void emit_begin_list(struct emit *e, const char *key, const char *label);
void emit_end(struct emit *e);

void emit_string(struct emit *e, const char *key, const char *label, const char *value);
/* The same for n bytes that need no terminator and may hold anything. */
void emit_bytes(struct emit *e, const char *key, const char *label, const void *value,
		size_t n);
void emit_integer(struct emit *e, const char *key, const char *label, uint64_t value);
void emit_bool(struct emit *e, const char *key, const char *label, bool value);
/* Text: `64 MiB (67108864 bytes)`. */
void emit_size(struct emit *e, const char *key, const char *label, uint64_t bytes);
/* Text: `196 KiB`. */
void emit_short_size(struct emit *e, const char *key, const char *label, uint64_t bytes);

/* Free text, in text output only: a line at the present indentation, without its newline. */
void emit_line(struct emit *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes text as it would be shown as a value: escaped on a terminal. Text output only. */
void emit_raw_text(struct emit *e, const void *text, size_t n);

/* A JSON string with its quotes, for output that has a layout of its own. */
void emit_json_string(FILE *to, const void *text, size_t n);
