#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e->code != ERR_NONE)
		return -1;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	return -1;
}

int err_os(struct err *e, int os, const char *fmt, ...)
{
	char reason[128];
	va_list ap;
	int n;

	if (e->code != ERR_NONE)
		return -1;
	e->code = os == ENOMEM ? ERR_NOMEM : ERR_IO;
	e->os = os;
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof e->text)
		snprintf(e->text + n, sizeof e->text - n, "%s%s", n ? ": " : "",
			 strerror_r(os, reason, sizeof reason));
	return -1;
}

int err_nomem(struct err *e)
{
	return err_set(e, ERR_NOMEM, "out of memory");
}

int err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->hint, sizeof e->hint, fmt, ap);
	va_end(ap);
	return -1;
}

int err_ctx(struct err *e, const char *fmt, ...)
{
	char ctx[sizeof e->text], all[2 * sizeof e->text + 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ctx, sizeof ctx, fmt, ap);
	va_end(ap);
	snprintf(all, sizeof all, "%s: %s", ctx, e->text);
	memcpy(e->text, all, sizeof e->text - 1);
	e->text[sizeof e->text - 1] = 0;
	return -1;
}

void warn_to(const struct listener *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!l || !l->warn)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	l->warn(l->arg, text);
}
