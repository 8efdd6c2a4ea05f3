#include "cmd/options.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/diagnostics.h"
#include "cmd/option_table.h"
#include "cmd/secrets.h"
#include "cmd/signals.h"

static int want_help, want_version;
static const char **object_list;
static const char *passphrase_file;

struct poptOption cmd_common_options[] = {
	{ "object", 0, POPT_ARG_ARGV, &object_list, 0,
	  "define a secret: secret,id=ID,file=PATH", "DEF" },
	{ "passphrase-file", 0, POPT_ARG_STRING, &passphrase_file, 0,
	  "encrypted images open with what is in this file", "FILE" },
	{ "verbose", 'v', POPT_ARG_NONE, &cmd_flags.verbose, 0, "say more on stderr", NULL },
	{ "help", 'h', POPT_ARG_NONE, &want_help, 0, "show this help", NULL },
	{ "version", 0, POPT_ARG_NONE, &want_version, 0, "show the version", NULL },
	POPT_TABLEEND
};

void cmd_usage(const struct cmd *c, const char *fmt, ...)
{
	char text[1024], name[32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	cmd_error("%s", text);
	snprintf(name, sizeof name, "qcow2-%s", c->about->name);
	if (strcmp(cmd_program(), name) == 0)
		fprintf(stderr, "Try '%s --help' for more information.\n", name);
	else
		cmd_complain("Try '%s %s --help' for more information.", cmd_program(),
			     c->about->name);
	exit(c->about->usage_status ? c->about->usage_status : 1);
}

static _Noreturn void exit_flushed(const struct cmd_about *about)
{
	exit(cmd_stdout_ok() ? 0 : about->stdout_status ? about->stdout_status : 1);
}

static _Noreturn void print_help(const struct cmd *c)
{
	printf("%s\n\n", c->about->purpose);
	poptPrintHelp(c->popt, stdout, 0);
	if (c->about->examples)
		printf("\nExamples:\n%s", c->about->examples);
	exit_flushed(c->about);
}

/* The help must read the same however the command was called, so popt is told the name of
 * the command's own binary. */
static void make_context(struct cmd *c, int argc, const char **argv,
			 struct poptOption *options)
{
	char *name = NULL, *usage = NULL;

	if (asprintf(&name, "qcow2-%s", c->about->name) < 0)
		option_out_of_memory();
	c->popt = poptGetContext(NULL, argc > 0 ? argc : 1, option_words(argc, argv, name),
				 option_rows(options), 0);
	if (!c->popt)
		option_out_of_memory();
	if (asprintf(&usage, "[OPTION...] %s", c->about->operands) < 0)
		option_out_of_memory();
	option_keep(usage);
	poptSetOtherOptionHelp(c->popt, usage);
}

static void check_output_option(const struct cmd *c)
{
	if (!cmd_flags.output)
		return;
	cmd_flags.json = strcmp(cmd_flags.output, "json") == 0;
	if (!cmd_flags.json && strcmp(cmd_flags.output, "human") != 0)
		cmd_usage(c, "--output must be human or json, not '%s'", cmd_flags.output);
}

/* Whether the word that popt takes for a bad option is an operand. popt has passed over it then. */
static bool is_operand(struct cmd *c, int rc)
{
	const char *word = rc == POPT_ERROR_BADOPT ? poptBadOption(c->popt, 0) : NULL;

	if (!c->about->signed_operand || c->signed_operand || !word || word[0] != '-' ||
	    !isdigit((unsigned char)word[1]) || !poptPeekArg(c->popt))
		return false;
	c->signed_operand = word;
	return true;
}

static void take_secrets(const struct cmd_about *about)
{
	struct err e = ERR_INIT;
	int ret = passphrase_file ? secrets_add_passphrase(passphrase_file, &e) : 0;

	for (const char **o = object_list; ret == 0 && o && *o; o++)
		ret = secrets_add(*o, &e);
	if (ret == 0)
		return;
	cmd_error_of(&e);
	exit(about->usage_status ? about->usage_status : 1);
}

struct cmd cmd_start(int argc, const char **argv, const struct cmd_about *about,
		     struct poptOption *options)
{
	struct cmd c = { .about = about };
	int rc;

	cmd_set_program(argc > 0 ? argv[0] : NULL);
	signals_become_errors();
	signals_ignore_requests();
	make_context(&c, argc, argv, options);
	for (const struct poptOption *o = options; o->longName || o->shortName || o->arg; o++)
		cmd_flags.has_force_share |= o->arg == &cmd_flags.force_share;
	while (option_is_ours(rc = poptGetNextOpt(c.popt)) || is_operand(&c, rc))
		if (option_is_ours(rc))
			option_store(rc, poptGetOptArg(c.popt));
	if (want_help)
		print_help(&c);
	if (rc < -1)
		cmd_usage(&c, "%s: %s", poptBadOption(c.popt, 0), poptStrerror(rc));
	if (want_version) {
		cmd_print_version();
		exit_flushed(about);
	}
	check_output_option(&c);
	if (cmd_flags.format && cmd_flags.image_opts)
		cmd_usage(&c, "--image-opts and --format exclude each other");

	take_secrets(about);
	return c;
}

const char *cmd_optional_arg(struct cmd *c)
{
	const char *arg = poptGetArg(c->popt);

	if (arg)
		return arg;
	arg = c->signed_operand;
	c->signed_operand = NULL;
	return arg;
}

const char *cmd_arg(struct cmd *c, const char *name)
{
	const char *arg = cmd_optional_arg(c);

	if (!arg)
		cmd_usage(c, "expecting the operand %s", name);
	return arg;
}

const char **cmd_rest(struct cmd *c)
{
	return poptGetArgs(c->popt);
}

void cmd_no_more_args(struct cmd *c)
{
	const char *arg = cmd_optional_arg(c);

	if (arg)
		cmd_usage(c, "unexpected operand '%s'", arg);
}

/* What is beside progress is for people: scripts that call us by the name of another program
 * may have reasons to give it a terminal. */
static bool wants_pace(void)
{
	return (strcmp(cmd_program(), "qcow2") == 0 ||
		strncmp(cmd_program(), "qcow2-", 6) == 0) &&
	       isatty(STDERR_FILENO);
}

static const struct watch *watch_begin(unsigned step_percent, bool bytes)
{
	bool shown = cmd_flags.progress && !cmd_flags.quiet;
	const struct watch *w = signals_watch(
		shown, !cmd_flags.progress && !cmd_flags.quiet, step_percent);

	if (shown && wants_pace())
		signals_show_pace(bytes);
	return w;
}

const struct watch *cmd_watch(unsigned step_percent)
{
	return watch_begin(step_percent, false);
}

const struct watch *cmd_watch_bytes(unsigned step_percent)
{
	return watch_begin(step_percent, true);
}

int cmd_finish_status(struct cmd *c, int status)
{
	int stopped = signals_stopped();

	signals_watch_end(status == 0);
	if (!cmd_stdout_ok() && (status == 0 || (status < 32 && c->about->answers >> status & 1)))
		status = c->about->stdout_status ? c->about->stdout_status : 1;
	poptFreeContext(c->popt);
	secrets_free();
	option_free();
	return stopped ? 128 + stopped : status;
}

int cmd_finish(struct cmd *c, int ret, const struct err *e)
{
	signals_watch_end(ret == 0);
	if (ret < 0)
		cmd_error_of(e);
	return cmd_finish_status(c, ret < 0);
}
