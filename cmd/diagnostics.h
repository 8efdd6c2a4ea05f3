#pragma once
#include <stdbool.h>

#include "base/err.h"

/* What goes to stderr. `PROG: MESSAGE`, PROG being the base name of argv[0] as typed. A message
 * is one line: control characters and line ends are escaped, for what it quotes may have been
 * typed by anybody, or come out of an image. */

/* Also opens /dev/null in place of standard streams that are closed, so that no image file
 * can become one of them. To be called first. */
void cmd_set_program(const char *argv0);
const char *cmd_program(void);

void cmd_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* e's text, and its hint as a second line; nothing if it only says that a signal stopped us. */
void cmd_error_of(const struct err *e);
/* `PROG: warning: MESSAGE` */
void cmd_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Only under -v. */
void cmd_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A line without a prefix, escaped too: per-defect lines of a check. */
void cmd_complain(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* For the engine's warnings. */
extern const struct listener cmd_listener;

/* Flushes stdout, and remembers why that failed. */
void cmd_stdout_flush(void);
/* Flushes stdout; false, with a message, when something written to it was lost. */
bool cmd_stdout_ok(void);
/* The same with the message in e; cmd_stdout_ok() does not repeat it. */
int cmd_stdout_check(struct err *e) MUST_CHECK;
/* One line: the version as the program was called. */
void cmd_print_version(void);
