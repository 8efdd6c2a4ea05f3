/* A command line, to be typed once more. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/diagnostics.h"
#include "cmd/options.h"

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

static bool has_secret(int argc, const char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--object", strlen("--object")) == 0)
			return true;
	return false;
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
	if (strlen(line) < sizeof line - 1 && !has_secret(argc, argv))
		cmd_complain("%s", line);
	else
		cmd_complain("  the same, with %s %s", option, value);
}
