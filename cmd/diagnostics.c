#include "cmd/diagnostics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/flags.h"
#include "cmd/signals.h"
#include "config.h"

static const char *program = "qcow2";

/* fopen() takes the lowest number that is free: that of the closed stream. For reading where
 * it stands for stdout, so that writing there fails and is noticed. */
static void open_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		int copy = dup(fd);

		if (copy >= 0)
			close(copy);
		else if (errno == EBADF && !fopen("/dev/null", fd == 2 ? "w" : "r"))
			exit(1);
	}
}

void cmd_set_program(const char *argv0)
{
	open_standard_streams();
	if (argv0 && *argv0) {
		const char *slash = strrchr(argv0, '/');

		program = slash && slash[1] ? slash + 1 : argv0;
	}
}

const char *cmd_program(void)
{
	return program;
}

/* Why stdout failed first; later calls would tell of something else. */
static int stdout_errno;
static bool stdout_told; /* somebody has a message about it */

void cmd_stdout_flush(void)
{
	if (fflush(stdout) != 0 && !stdout_errno)
		stdout_errno = errno;
}

/* One write per message, so that lines of several processes do not mix; the hint is a line of
 * its own. */
static void message_print(const char *lead, const char *word, const char *text,
			  const char *hint)
{
	char piece[4096], out[8192];
	size_t used;

	text_escape(text, strlen(text), piece, sizeof piece);
	used = (size_t)snprintf(out, sizeof out, "%.255s%s%s%s\n", lead, *lead ? ": " : "",
				word, piece);
	if (*hint) {
		text_escape(hint, strlen(hint), piece, sizeof piece);
		snprintf(out + used, sizeof out - used, "%s\n", piece);
	}
	cmd_stdout_flush();
	signals_clear_pace();
	fputs(out, stderr);
}

PRINTF_LIKE(3, 0)
static void line_print(const char *lead, const char *word, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof text, fmt, ap);
	message_print(lead, word, text, "");
}

void cmd_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_print(program, "", fmt, ap);
	va_end(ap);
}

void cmd_error_of(const struct err *e)
{
	bool could_share = e->code == ERR_BUSY_WRITTEN && cmd_flags.has_force_share &&
			   !cmd_flags.force_share;
	char hint[sizeof e->hint + 64];

	if (e->code == ERR_STOPPED)
		return;
	snprintf(hint, sizeof hint, "%s%s", e->hint,
		 *e->hint && could_share ? " -U reads it all the same." : "");
	message_print(program, "", e->text, hint);
}

void cmd_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_print(program, "warning: ", fmt, ap);
	va_end(ap);
}

void cmd_note(const char *fmt, ...)
{
	va_list ap;

	if (!cmd_flags.verbose)
		return;
	va_start(ap, fmt);
	line_print(program, "", fmt, ap);
	va_end(ap);
}

void cmd_complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_print("", "", fmt, ap);
	va_end(ap);
}

static void listener_warn(void *arg, const char *text)
{
	cmd_warn("%s", text);
}

const struct listener cmd_listener = { .warn = listener_warn };

int cmd_stdout_check(struct err *e)
{
	cmd_stdout_flush();
	if (!stdout_errno && !ferror(stdout))
		return 0;
	stdout_told = true;
	return err_set(e, ERR_IO, "Could not write to standard output: %s",
		       stdout_errno ? strerror(stdout_errno) : "some of it was lost");
}

bool cmd_stdout_ok(void)
{
	struct err e = ERR_INIT;

	if (stdout_told)
		return false;
	if (cmd_stdout_check(&e) == 0)
		return true;
	cmd_error_of(&e);
	return false;
}

void cmd_print_version(void)
{
	printf("qcow2-tools version %s\n", QCOW2_VERSION);
}
