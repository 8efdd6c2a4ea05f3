#include "cmd/bitmap_ranges.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int range_take(json_t *item, struct bitmap_range *r)
{
	json_t *start = json_object_get(item, "start"), *len = json_object_get(item, "length");

	if (!json_is_integer(start) || !json_is_integer(len) || json_integer_value(start) < 0 ||
	    json_integer_value(len) < 0)
		return -1;
	*r = (struct bitmap_range){ (uint64_t)json_integer_value(start),
				    (uint64_t)json_integer_value(len) };
	return 0;
}

static int ranges_take(json_t *list, struct bitmap_range **ranges, size_t *nr, struct err *e)
{
	size_t i, want = json_array_size(list);
	json_t *item;

	if (!json_is_array(list))
		return err_set(e, ERR_INVALID, "it is not a JSON array");
	*ranges = calloc(want + 1, sizeof **ranges);
	if (!*ranges)
		return err_nomem(e);
	json_array_foreach (list, i, item) {
		if (range_take(item, &(*ranges)[i]) < 0)
			return err_set(e, ERR_INVALID,
				       "item %zu is not an object with a \"start\" and a \"length\"",
				       i);
	}
	*nr = want;
	return 0;
}

int bitmap_ranges_load(const char *path, struct bitmap_range **ranges, size_t *nr, struct err *e)
{
	json_error_t why;
	json_t *list = strcmp(path, "-") == 0 ? json_loadf(stdin, 0, &why)
					      : json_load_file(path, 0, &why);
	int ret;

	*ranges = NULL;
	*nr = 0;
	if (!list && why.line > 0)
		err_set(e, ERR_INVALID, "line %d: %s", why.line, why.text);
	else if (!list)
		err_set(e, ERR_INVALID, "%s", why.text);
	ret = list ? ranges_take(list, ranges, nr, e) : -1;
	json_decref(list);
	return ret < 0 ? err_ctx(e, "ranges in '%s'", path) : 0;
}
