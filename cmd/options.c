#include "cmd/options.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/vec.h"
#include "cmd/diagnostics.h"
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

/* popt hands out strings that nobody owns, and forgets the first of two. So the rows that
 * take a string get a number of ours, and the strings are kept here until the end. The rows of
 * steps get one, too. */
#define FIRST_VAL 1000

static struct {
	struct poptOption *table;   /* copy of the command's rows */
	struct poptOption *common;  /* copy of the common rows */
	struct poptOption **takers; /* the original rows, by number - FIRST_VAL */
	size_t takers_nr, takers_room;
	char **strings;
	size_t strings_nr, strings_room;
	const char **argv;
} kept;

static _Noreturn void out_of_memory(void)
{
	cmd_error("out of memory");
	exit(1);
}

static void keep_string(char *s)
{
	if (!s || !vec_grow(&kept.strings, kept.strings_nr, &kept.strings_room))
		out_of_memory();
	kept.strings[kept.strings_nr++] = s;
}

static bool is_end(const struct poptOption *o)
{
	return !o->longName && !o->shortName && !o->arg;
}

static unsigned kind_of(const struct poptOption *row)
{
	return row->argInfo & POPT_ARG_MASK;
}

static bool is_step(const struct poptOption *row)
{
	return row->val && (kind_of(row) == POPT_ARG_NONE || kind_of(row) == POPT_ARG_STRING);
}

static struct poptOption *copy_table(struct poptOption *from)
{
	size_t nr = 0;
	struct poptOption *to;

	while (!is_end(&from[nr]))
		nr++;
	to = calloc(nr + 1, sizeof *to);
	if (!to)
		out_of_memory();
	for (size_t i = 0; i < nr; i++) {
		unsigned kind = kind_of(&from[i]);

		to[i] = from[i];
		if (from[i].arg == cmd_common_options)
			to[i].arg = kept.common = copy_table(cmd_common_options);
		if (kind != POPT_ARG_STRING && kind != POPT_ARG_ARGV && !is_step(&from[i]))
			continue;
		if (!vec_grow(&kept.takers, kept.takers_nr, &kept.takers_room))
			out_of_memory();
		to[i].argInfo = (from[i].argInfo & ~POPT_ARG_MASK) |
				(kind == POPT_ARG_NONE ? POPT_ARG_NONE : POPT_ARG_STRING);
		to[i].arg = NULL;
		to[i].val = FIRST_VAL + (int)kept.takers_nr;
		kept.takers[kept.takers_nr++] = &from[i];
	}
	return to;
}

static void append_string(const char ***list, const char *s)
{
	size_t nr = 0;
	const char **more;

	while (*list && (*list)[nr])
		nr++;
	more = realloc(*list, (nr + 2) * sizeof *more);
	if (!more)
		out_of_memory();
	more[nr] = s;
	more[nr + 1] = NULL;
	*list = more;
}

static void append_step(struct cmd_steps *steps, int what, const char *value)
{
	if (!vec_grow(&steps->items, steps->nr, &steps->room))
		out_of_memory();
	steps->items[steps->nr++] = (struct cmd_step){ what, value };
}

static void store(const struct poptOption *row, char *value)
{
	if (kind_of(row) != POPT_ARG_NONE)
		keep_string(value);
	if (is_step(row))
		append_step(row->arg, row->val, value);
	else if (kind_of(row) == POPT_ARG_ARGV)
		append_string(row->arg, value);
	else
		*(const char **)row->arg = value;
}

static void free_lists(void)
{
	for (size_t i = 0; i < kept.takers_nr; i++)
		if (is_step(kept.takers[i])) {
			struct cmd_steps *steps = kept.takers[i]->arg;

			free(steps->items);
			*steps = (struct cmd_steps){ 0 };
		} else if (kind_of(kept.takers[i]) == POPT_ARG_ARGV) {
			const char ***list = kept.takers[i]->arg;

			free(*list);
			*list = NULL;
		}
}

static void free_kept(void)
{
	for (size_t i = 0; i < kept.strings_nr; i++)
		free(kept.strings[i]);
	free(kept.strings);
	free_lists();
	free(kept.takers);
	free(kept.table);
	free(kept.common);
	free(kept.argv);
	memset(&kept, 0, sizeof kept);
}

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

static void line_add(char *line, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void line_add(char *line, size_t size, const char *fmt, ...)
{
	size_t used = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + used, size - used, fmt, ap);
	va_end(ap);
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

/* A word as a shell reads it. A line end or an escape sequence would break the line that is
 * being written: words with such characters get the quotes that know escapes. */
static void line_add_word(char *line, size_t size, const char *word)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "._/-+=:,@%";
	bool quote = !*word || word[strspn(word, safe)], escape = false;

	for (const char *p = word; *p; p++)
		escape |= is_control(*p);
	line_add(line, size, escape ? " $'" : quote ? " '" : " ");
	for (; *word; word++)
		if (is_control(*word))
			line_add(line, size, "\\%03o", (unsigned)*word);
		else if (escape && (*word == '\'' || *word == '\\'))
			line_add(line, size, "\\%c", *word);
		else
			line_add(line, size, *word == '\'' ? "'\\''" : "%c", *word);
	if (quote)
		line_add(line, size, "'");
}

void cmd_print_again(int argc, const char **argv, const struct cmd_about *about,
		     const char *option, const char *value)
{
	char line[2000] = " ";

	line_add_word(line, sizeof line, cmd_program());
	if (strncmp(cmd_program(), "qcow2-", 6) != 0)
		line_add_word(line, sizeof line, about->name);
	line_add_word(line, sizeof line, option);
	line_add_word(line, sizeof line, value);
	for (int i = 1; i < argc; i++)
		line_add_word(line, sizeof line, argv[i]);
	/* Half a command would be worse than none, and passphrases are not for logs. */
	if (strlen(line) < sizeof line - 1 && !object_list)
		cmd_complain("%s", line);
	else
		cmd_complain("  the same, with %s %s", option, value);
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

	kept.argv = calloc((size_t)argc + 2, sizeof *kept.argv);
	if (!kept.argv || asprintf(&name, "qcow2-%s", c->about->name) < 0)
		out_of_memory();
	keep_string(name);
	kept.argv[0] = name;
	for (int i = 1; i < argc; i++)
		kept.argv[i] = argv[i];
	kept.table = copy_table(options);
	c->popt = poptGetContext(NULL, argc > 0 ? argc : 1, kept.argv, kept.table, 0);
	if (!c->popt)
		out_of_memory();
	if (asprintf(&usage, "[OPTION...] %s", c->about->operands) < 0)
		out_of_memory();
	keep_string(usage);
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
	make_context(&c, argc, argv, options);
	while ((rc = poptGetNextOpt(c.popt)) >= FIRST_VAL || is_operand(&c, rc))
		if (rc >= FIRST_VAL)
			store(kept.takers[rc - FIRST_VAL], poptGetOptArg(c.popt));
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
	if (!cmd_stdout_ok() && status == 0)
		status = c->about->stdout_status ? c->about->stdout_status : 1;
	poptFreeContext(c->popt);
	secrets_free();
	free_kept();
	return stopped ? 128 + stopped : status;
}

int cmd_finish(struct cmd *c, int ret, const struct err *e)
{
	signals_watch_end(ret == 0);
	if (ret < 0)
		cmd_error_of(e);
	return cmd_finish_status(c, ret < 0);
}
