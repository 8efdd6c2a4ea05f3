#include "cmd/json_options.h"

#include <jansson.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define NESTING_MAX 256 /* a chain of explicit backing files is at most 200 long */

static int add_object(struct option_list *l, const char *prefix, json_t *object,
		      unsigned depth, struct err *e);

/* What JSON does not call a string. */
static int add_other(struct option_list *l, const char *key, const char *value, bool is_null,
		     struct err *e)
{
	if (option_list_add(l, key, value, e) < 0)
		return -1;
	l->items[l->nr - 1].is_text = false;
	l->items[l->nr - 1].is_null = is_null;
	return 0;
}

static int add_value(struct option_list *l, const char *key, json_t *value, unsigned depth,
		     struct err *e)
{
	char number[32];

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return add_object(l, key, value, depth + 1, e);
	case JSON_STRING:
		return option_list_add(l, key, json_string_value(value), e);
	case JSON_INTEGER:
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		return add_other(l, key, number, false, e);
	case JSON_TRUE:
		return add_other(l, key, "on", false, e);
	case JSON_FALSE:
		return add_other(l, key, "off", false, e);
	case JSON_NULL:
		return add_other(l, key, "", true, e);
	default:
		return err_set(e, ERR_INVALID, "Parameter '%s' has a value of a wrong type",
			       key);
	}
}

static int add_object(struct option_list *l, const char *prefix, json_t *object,
		      unsigned depth, struct err *e)
{
	const char *key;
	json_t *value;

	if (depth > NESTING_MAX)
		return err_set(e, ERR_INVALID, "json: nested too deeply");
	json_object_foreach (object, key, value) {
		AUTO_FREE char *full = NULL;

		if (asprintf(&full, "%s%s%s", prefix, *prefix ? "." : "", key) < 0) {
			full = NULL;
			return err_nomem(e);
		}
		if (add_value(l, full, value, depth, e) < 0)
			return -1;
	}
	return 0;
}

int json_options_parse(struct option_list *l, const char *text, struct err *e)
{
	json_error_t why;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	int ret;

	if (!root)
		return err_set(e, ERR_INVALID, "json: %s (at byte %d)", why.text, why.position);
	if (!json_is_object(root))
		ret = err_set(e, ERR_INVALID, "json: expecting an object");
	else
		ret = add_object(l, "", root, 0, e);
	json_decref(root);
	return ret;
}
