#pragma once
#include <popt.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/watch.h"
#include "cmd/flags.h"

/* What one command is, for its help. */
struct cmd_about {
	const char *name;     /* "info" */
	const char *operands; /* "FILE [SIZE]", as in the usage line */
	const char *purpose;  /* one sentence */
	const char *examples; /* lines for the end of the help, or NULL */
	int usage_status;     /* exit status of a usage error; 0 stands for 1 */
	int stdout_status;    /* exit status when stdout cannot be written; 0 stands for 1 */
	unsigned answers;     /* bit per status beside 0 that is an answer: lost with stdout */
	bool signed_operand;  /* "-1M" behind an operand is one, too, and not an option */
};

struct cmd {
	poptContext popt;
	const struct cmd_about *about;
	const char *signed_operand; /* to be handed out behind the others */
};

/* Options whose order matters: each time one of them is given, a step is added. */
struct cmd_step {
	int what;	   /* which of them: the row's `val` */
	const char *value; /* NULL: it takes none */
};

struct cmd_steps {
	struct cmd_step *items;
	size_t nr, room;
};

#define OPTION_FORMAT                                                                      \
	{ "format", 'f', POPT_ARG_STRING, &cmd_flags.format, 0,                            \
	  "format of FILE: raw or qcow2 (default: found by looking)", "FMT" }
#define OPTION_IMAGE_OPTS                                                                  \
	{ "image-opts", 0, POPT_ARG_NONE, &cmd_flags.image_opts, 0,                        \
	  "FILE is a list such as driver=qcow2,file.filename=x", NULL }
#define OPTION_OUTPUT                                                                      \
	{ "output", 0, POPT_ARG_STRING, &cmd_flags.output, 0,                              \
	  "print for people (human, the default) or programs (json)", "human|json" }
#define OPTION_FORCE_SHARE                                                                 \
	{ "force-share", 'U', POPT_ARG_NONE, &cmd_flags.force_share, 0,                    \
	  "open an image even while another process writes to it", NULL }
#define OPTION_QUIET                                                                       \
	{ "quiet", 'q', POPT_ARG_NONE, &cmd_flags.quiet, 0,                                \
	  "print nothing on success", NULL }
#define OPTION_PROGRESS                                                                    \
	{ "progress", 'p', POPT_ARG_NONE, &cmd_flags.progress, 0, "show progress", NULL }

/* -h, --version, -v, --object. The last row before POPT_TABLEEND. */
extern struct poptOption cmd_common_options[];
#define OPTIONS_COMMON                                                                     \
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cmd_common_options, 0, "Common options:", NULL }

/* Parses the command line. Rows of `options` are popt's, with these kinds: POPT_ARG_NONE and
 * POPT_ARG_VAL (int), POPT_ARG_STRING (const char *, the last one given wins, NULL when not
 * given), POPT_ARG_ARGV (const char **, NULL-terminated, NULL when never given: options that
 * repeat); strings belong to the cmd. No row may have a `val`, except for POPT_ARG_VAL and for
 * rows of kind POPT_ARG_NONE and POPT_ARG_STRING whose `arg` is a struct cmd_steps *.
 * Usage errors, --help and --version do not return. */
struct cmd cmd_start(int argc, const char **argv, const struct cmd_about *about,
		     struct poptOption *options);

/* Next operand; a usage error names it when it is missing. */
const char *cmd_arg(struct cmd *c, const char *name);
/* Next operand, NULL if there are no more. */
const char *cmd_optional_arg(struct cmd *c);
/* All operands that are left, NULL-terminated; NULL if there are none. */
const char **cmd_rest(struct cmd *c);
void cmd_no_more_args(struct cmd *c);

/* Prints the message and the `Try` line, and exits. */
_Noreturn void cmd_usage(const struct cmd *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Prints the command line on stderr as it was typed, quoted for a shell, with two more words
 * behind the subcommand: "this is what would have been right". */
void cmd_print_again(int argc, const char **argv, const struct cmd_about *about,
		     const char *option, const char *value);

/* Starts progress (shown with -p, on request of SIGUSR1 with neither -p nor -q) and the
 * catching of SIGINT, SIGTERM and SIGHUP. step_percent: smallest step that is printed. With
 * -p on a terminal the time left is shown too, unless we are called as another program. */
const struct watch *cmd_watch(unsigned step_percent);
/* The same for what counts bytes: the rate is shown as well. */
const struct watch *cmd_watch_bytes(unsigned step_percent);

/* Ends the progress line, prints e's text if ret < 0, flushes stdout, frees. Returns the
 * exit status: 0, 1, or 128 + n after signal n. */
int cmd_finish(struct cmd *c, int ret, const struct err *e);
/* The same for commands with richer answers: `status` unless stdout or a signal overrules.
 * The command has printed its errors itself (cmd_error_of()). */
int cmd_finish_status(struct cmd *c, int status);
