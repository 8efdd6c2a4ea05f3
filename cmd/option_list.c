#include "cmd/option_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/vec.h"
#include "cmd/diagnostics.h"

/* Cuts the item at *text off, with `,,` made one comma; *text moves behind it, to NULL at the
 * end of the list. NULL when memory is out. */
static char *item_cut(const char **text)
{
	const char *s = *text;
	char *item = malloc(strlen(s) + 1), *out = item;
	bool more = false;

	if (!item)
		return NULL;
	for (; *s && !more; s++) {
		if (*s == ',' && s[1] != ',')
			more = true;
		else if (*s == ',')
			*out++ = *s++;
		else
			*out++ = *s;
	}
	*out = 0;
	*text = more ? s : NULL;
	return item;
}

static int append(struct option_list *l, char *key, char *value, bool bare, struct err *e)
{
	if (!key || !value || !vec_grow(&l->items, l->nr, &l->room)) {
		free(key);
		free(value);
		return err_nomem(e);
	}
	l->items[l->nr++] =
		(struct option){ .key = key, .value = value, .bare = bare, .is_text = true };
	return 0;
}

static int append_item(struct option_list *l, const char *item, struct err *e)
{
	const char *equals = strchr(item, '=');

	if (strcmp(item, "help") == 0 || strcmp(item, "?") == 0) {
		l->help = true;
		return 0;
	}
	if (!equals)
		return append(l, strdup(item), strdup("on"), true, e);
	return append(l, strndup(item, (size_t)(equals - item)), strdup(equals + 1), false, e);
}

/* A comma at the end is the first half of `,,` or a separator with nothing behind it. */
static bool list_is_valid(const char *text)
{
	size_t len = strlen(text), commas = 0;

	while (commas < len && text[len - 1 - commas] == ',')
		commas++;
	return len && text[0] != ',' && commas % 2 == 0;
}

int option_list_parse(struct option_list *l, const char *text, struct err *e)
{
	const char *rest = text;

	if (!list_is_valid(text))
		return err_set(e, ERR_INVALID, "Invalid option list: '%s'", text);
	while (rest) {
		AUTO_FREE char *item = item_cut(&rest);

		if (!item)
			return err_nomem(e);
		if (append_item(l, item, e) < 0)
			return -1;
	}
	return 0;
}

int option_list_add(struct option_list *l, const char *key, const char *value, struct err *e)
{
	return append(l, strdup(key), strdup(value), false, e);
}

void option_list_fini(struct option_list *l)
{
	for (size_t i = 0; i < l->nr; i++) {
		free(l->items[i].key);
		free(l->items[i].value);
	}
	free(l->items);
	*l = (struct option_list){ 0 };
}

const char *option_list_take(struct option_list *l, const char *key, size_t *times)
{
	const char *value = NULL;
	size_t nr = 0;

	for (size_t i = 0; i < l->nr; i++) {
		struct option *o = &l->items[i];
		bool negated = o->bare && strncmp(o->key, "no", 2) == 0 &&
			       strcmp(o->key + 2, key) == 0;

		if (!negated && strcmp(o->key, key) != 0)
			continue;
		if (negated && !o->used)
			cmd_warn("'%s' is a deprecated spelling of '%s=off'", o->key, key);
		o->used = true;
		value = negated ? "off" : o->value;
		nr++;
	}
	if (times)
		*times = nr;
	return value;
}

bool option_list_is_null(const struct option_list *l, const char *key)
{
	for (size_t i = l->nr; i-- > 0;)
		if (strcmp(l->items[i].key, key) == 0)
			return l->items[i].is_null;
	return false;
}

const char *option_list_unused(const struct option_list *l)
{
	for (size_t i = 0; i < l->nr; i++)
		if (!l->items[i].used)
			return l->items[i].key;
	return NULL;
}

int bool_from_text(const char *key, const char *text, bool *out, struct err *e)
{
	static const char *const words[] = { "off", "on",    "no", "yes",
					     "false", "true", "n",  "y" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(text, words[i]) == 0) {
			*out = i & 1;
			return 0;
		}
	return err_set(e, ERR_INVALID, "Parameter '%s' expects 'on' or 'off', not '%s'", key,
		       text);
}
