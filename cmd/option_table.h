#pragma once
#include <popt.h>
#include <stdbool.h>

/* The rows of a command as popt gets them, and the strings that popt hands out. One command line a
 * process; what is here is given back by option_free(). */

_Noreturn void option_out_of_memory(void);
/* Owns s from now on; NULL: out of memory. */
void option_keep(char *s);
/* A copy of the rows and of the common ones below them, with numbers in the place of what takes
 * strings and steps. */
const struct poptOption *option_rows(struct poptOption *rows);
/* A copy of argv that begins with `name`, which is kept. */
const char **option_words(int argc, const char **argv, char *name);
/* Whether popt's answer is the number of such a row. */
bool option_is_ours(int val);
/* Puts the value, which is kept, where that row wants it. */
void option_store(int val, char *value);
void option_free(void);
