#pragma once
#include <stdbool.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* What kind of failure: decides the exit status, never the wording. */
enum err_code {
	ERR_NONE,
	ERR_IO,		 /* the system said no, or bytes could not be had */
	ERR_CORRUPT,	 /* the image contradicts the format */
	ERR_UNSUPPORTED, /* well formed, but not something we do */
	ERR_INVALID,	 /* the caller asked for nonsense */
	ERR_NOTFOUND,
	ERR_NOMEM,
	ERR_BUSY,	 /* locked by another process */
	ERR_BUSY_WRITTEN, /* the same, and we only wanted to read what it writes to */
	ERR_STOPPED,	 /* a signal asked us to stop */
};

struct err {
	enum err_code code;
	int os;		/* errno, when the system said no; else 0 */
	char text[512]; /* what to tell a person; fixed, so "out of memory" fits too */
	char hint[320]; /* one more line for that person; mostly "" */
};

#define ERR_INIT                                                                           \
	(struct err)                                                                       \
	{                                                                                  \
		.code = ERR_NONE                                                           \
	}

/* Both return -1, so that failing reads:  return err_set(e, ERR_CORRUPT, "...");
 * A second err_set() on the same object is ignored: cleaning up after a failure may fail
 * as well, and the user needs to hear about the first. Text is lower case, without a final
 * stop, with value and place. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Like err_set with ": " and the text of errno value `os` behind it; ENOMEM becomes
 * ERR_NOMEM, everything else ERR_IO. */
int err_os(struct err *e, int os, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_nomem(struct err *e);
/* The line behind the text. Returns -1. */
int err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "ctx: " in front of what is there. */
int err_ctx(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline bool err_is(const struct err *e)
{
	return e->code != ERR_NONE;
}

/* Who hears a warning: the engine never prints. A NULL listener, or one without a function,
 * drops the text. One line, no final newline. */
struct listener {
	void (*warn)(void *arg, const char *text);
	void *arg;
};

void warn_to(const struct listener *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
