#include "cmd/bitmap_print.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"
#include "base/text.h"
#include "cmd/diagnostics.h"

/* A stretch goes as far as the bits do, across table entries. */
static int dirty_count(struct bitmap_set *s, struct bitmap *b, uint64_t *bytes, struct err *e)
{
	uint64_t guest = 0, len;

	for (*bytes = 0;; guest += len, *bytes += len) {
		if (bitmap_next(s, b, &guest, &len, e) < 0)
			return -1;
		if (!len)
			return 0;
	}
}

static void print_object(struct emit *out, const struct bitmap *b, bool known, uint64_t dirty)
{
	const struct bitmap_entry *x = &b->entry;

	emit_begin(out, NULL, NULL);
	emit_bytes(out, "name", NULL, x->name.p, x->name.n);
	emit_integer(out, "granularity", NULL, UINT64_C(1) << x->granularity_bits);
	emit_begin_list(out, "flags", NULL);
	if (x->flags & BITMAP_IN_USE)
		emit_string(out, NULL, NULL, "in-use");
	if (x->flags & BITMAP_AUTO)
		emit_string(out, NULL, NULL, "auto");
	emit_end(out);
	if (known)
		emit_integer(out, "dirty-bytes", NULL, dirty);
	emit_end(out);
}

static void print_row(struct emit *out, const struct bitmap *b, bool known, uint64_t dirty)
{
	const struct bitmap_entry *x = &b->entry;
	char granularity[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX];

	size_render(UINT64_C(1) << x->granularity_bits, granularity);
	size_render(dirty, size);
	fprintf(out->to, "%11s %10s %-8s ", granularity, known ? size : "--",
		x->flags & BITMAP_IN_USE ? "in-use"
		: x->flags & BITMAP_AUTO ? "enabled"
					 : "disabled");
	emit_raw_text(out, x->name.p, x->name.n);
	fputc('\n', out->to);
}

int bitmap_list_print(struct emit *out, struct bitmap_set *s, struct err *e)
{
	if (s->nr && out->kind == EMIT_TEXT)
		fprintf(out->to, "Bitmap list:\n%11s %10s %-8s %s\n", "GRANULARITY", "DIRTY",
			"STATE", "NAME");
	for (size_t i = 0; i < s->nr; i++) {
		struct bitmap *b = &s->items[i];
		struct err why = ERR_INIT;
		uint64_t dirty = 0;
		bool known = bitmap_usable(b, &why) == 0 && dirty_count(s, b, &dirty, &why) == 0;
		char name[128];

		bitmap_unload(b);
		if (why.code == ERR_IO || why.code == ERR_NOMEM) {
			*e = why;
			return -1;
		}
		if (why.code == ERR_CORRUPT)
			cmd_warn("bitmap '%s': %s",
				 text_escape(b->entry.name.p, b->entry.name.n, name, sizeof name),
				 why.text);
		if (out->kind == EMIT_TEXT)
			print_row(out, b, known, dirty);
		else
			print_object(out, b, known, dirty);
	}
	return 0;
}

int bitmap_dump_print(struct emit *out, struct bitmap_set *s, struct bitmap *b, struct err *e)
{
	uint64_t guest = 0, len;

	for (;; guest += len) {
		if (bitmap_next(s, b, &guest, &len, e) < 0)
			return -1;
		if (!len)
			return 0;
		if (out->kind == EMIT_TEXT) {
			fprintf(out->to, "%" PRIu64 " %" PRIu64 "\n", guest, len);
			continue;
		}
		emit_begin(out, NULL, NULL);
		emit_integer(out, "start", NULL, guest);
		emit_integer(out, "length", NULL, len);
		emit_end(out);
	}
}
