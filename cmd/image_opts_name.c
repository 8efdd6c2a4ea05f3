#include "cmd/image_opts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

/* Names need not be UTF-8, and JSON is: what it has no letters for is replaced, as in other output. */
static json_t *text_json(const char *text)
{
	static const char instead[] = "\xef\xbf\xbd"; /* U+FFFD */
	size_t n = strlen(text), used = 0;
	AUTO_FREE char *out = malloc(3 * n + 1);

	if (!out)
		return NULL;
	for (size_t pos = 0, len; pos < n; pos += len) {
		uint32_t c;
		size_t good = text_decode_utf8((const uint8_t *)text + pos, n - pos, &c);
		size_t more = good ? good : sizeof instead - 1;

		len = good ? good : 1;
		memcpy(out + used, good ? text + pos : instead, more);
		used += more;
	}
	return json_stringn(out, used);
}

static json_t *node_json(const struct spec *s)
{
	json_t *node = json_object(), *file = json_object();

	if (s->secret_id)
		json_object_set_new(node, "encrypt.key-secret", json_string(s->secret_id));
	if (s->format != FORMAT_PROBE)
		json_object_set_new(node, "driver", json_string(format_name(s->format)));
	json_object_set_new(file, "driver", json_string("file"));
	if (s->path) {
		json_object_set_new(file, "filename", text_json(s->path));
		json_object_set(node, "file", file);
	}
	json_decref(file);
	if (s->window_off)
		json_object_set_new(node, "offset", json_integer((json_int_t)s->window_off));
	if (s->has_window_len)
		json_object_set_new(node, "size", json_integer((json_int_t)s->window_len));
	if (s->backing)
		json_object_set_new(node, "backing", node_json(s->backing));
	if (s->data_file)
		json_object_set_new(node, "data-file", node_json(s->data_file));
	return node;
}

char *image_opts_name(const struct spec *s, bool *plain)
{
	json_t *node;
	char *text, *name = NULL;

	*plain = !s->window_off && !s->has_window_len && !s->backing && !s->data_file &&
		 !s->secret_id;
	if (*plain)
		return NULL;
	node = node_json(s);
	text = json_dumps(node, JSON_PRESERVE_ORDER);
	if (text && asprintf(&name, "json:%s", text) < 0)
		name = NULL;
	free(text);
	json_decref(node);
	return name;
}
