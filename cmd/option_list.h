#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* `key=value,key,nokey`: a comma in a value is doubled, a bare key means "on", a bare noKEY
 * means "off". */
struct option {
	char *key;
	char *value;
	bool bare;    /* no "=" was written; key is the whole word, value "on" */
	bool is_null; /* JSON null; value is "" */
	bool is_text; /* not a JSON number, boolean or null */
	bool used;    /* for option_list_unused() */
};

struct option_list {
	struct option *items;
	size_t nr, room;
	bool help; /* "help" or "?" stood somewhere in the list */
};

/* Appends what `text` says. Zero-initialise the list; option_list_fini() accepts that state,
 * and must be called after a failure too. Empty lists, a comma at the front or an odd number
 * of them at the end are ERR_INVALID. */
int option_list_parse(struct option_list *l, const char *text, struct err *e);
/* One more item, as if it had been written. */
int option_list_add(struct option_list *l, const char *key, const char *value,
		    struct err *e);
void option_list_fini(struct option_list *l);

/* Value of the last item with this key, NULL if there is none; marks all of them as used.
 * *times, if not NULL: how often it was given. A bare noKEY counts as KEY with value "off",
 * and is warned about as the old spelling that it is. */
const char *option_list_take(struct option_list *l, const char *key, size_t *times);
/* Whether the last item with this key was a JSON null. */
bool option_list_is_null(const struct option_list *l, const char *key);
/* Key of the first item that nobody took, NULL if there is none. */
const char *option_list_unused(const struct option_list *l);

/* on yes true y, off no false n */
int bool_from_text(const char *key, const char *text, bool *out, struct err *e);
