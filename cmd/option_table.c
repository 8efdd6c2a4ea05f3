#include "cmd/option_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "cmd/diagnostics.h"
#include "cmd/options.h"

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

void option_out_of_memory(void)
{
	cmd_error("out of memory");
	exit(1);
}

void option_keep(char *s)
{
	if (!s || !vec_grow(&kept.strings, kept.strings_nr, &kept.strings_room))
		option_out_of_memory();
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
		option_out_of_memory();
	for (size_t i = 0; i < nr; i++) {
		unsigned kind = kind_of(&from[i]);

		to[i] = from[i];
		if (from[i].arg == cmd_common_options)
			to[i].arg = kept.common = copy_table(cmd_common_options);
		if (kind != POPT_ARG_STRING && kind != POPT_ARG_ARGV && !is_step(&from[i]))
			continue;
		if (!vec_grow(&kept.takers, kept.takers_nr, &kept.takers_room))
			option_out_of_memory();
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
		option_out_of_memory();
	more[nr] = s;
	more[nr + 1] = NULL;
	*list = more;
}

static void append_step(struct cmd_steps *steps, int what, const char *value)
{
	if (!vec_grow(&steps->items, steps->nr, &steps->room))
		option_out_of_memory();
	steps->items[steps->nr++] = (struct cmd_step){ what, value };
}

bool option_is_ours(int val)
{
	return val >= FIRST_VAL;
}

void option_store(int val, char *value)
{
	const struct poptOption *row = kept.takers[val - FIRST_VAL];

	if (kind_of(row) != POPT_ARG_NONE)
		option_keep(value);
	if (is_step(row))
		append_step(row->arg, row->val, value);
	else if (kind_of(row) == POPT_ARG_ARGV)
		append_string(row->arg, value);
	else
		*(const char **)row->arg = value;
}

const struct poptOption *option_rows(struct poptOption *rows)
{
	kept.table = copy_table(rows);
	return kept.table;
}

const char **option_words(int argc, const char **argv, char *name)
{
	kept.argv = calloc((size_t)argc + 2, sizeof *kept.argv);
	if (!kept.argv)
		option_out_of_memory();
	option_keep(name);
	kept.argv[0] = name;
	for (int i = 1; i < argc; i++)
		kept.argv[i] = argv[i];
	return kept.argv;
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

void option_free(void)
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
