#pragma once
#include "base/err.h"
#include "cmd/option_list.h"
#include "ops/amend.h"

/* The keys (-o) of amend. */

/* Fills `o` with what the list asks for; strings belong to the list. Every key is one that can be
 * amended, and its value one that it may have. */
int amend_options_take(struct option_list *l, struct amend_options *o, struct err *e);
/* The table of `-o help`, on stdout. */
void amend_options_print_help(void);
