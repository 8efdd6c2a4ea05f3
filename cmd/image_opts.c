#include "cmd/image_opts.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/diagnostics.h"
#include "cmd/flags.h"
#include "cmd/json_options.h"
#include "cmd/option_list.h"
#include "cmd/secrets.h"
#include "cmd/sizes.h"

/* A chain of explicit backing files is bounded like any other. */
#define NESTING_MAX 200

enum node_role { NODE_IMAGE, NODE_BACKING, NODE_DATA_FILE };
static int node_parse(struct spec *s, struct option_list *l, enum node_role role, unsigned depth,
		      struct err *e);

static int copy_text(char **to, const char *from, struct err *e)
{
	if (!from)
		return 0;
	free(*to);
	*to = strdup(from);
	return *to ? 0 : err_nomem(e);
}

/* A switch that may be written for the node or for its file. */
static int take_bool(struct option_list *l, const char *key, bool *out, struct err *e)
{
	const char *value = option_list_take(l, key, NULL);

	return value ? bool_from_text(key, value, out, e) : 0;
}

/* Accepted because generated option strings are full of them; they tune what we do not have,
 * or say what we do anyway. */
static void take_tuning(struct option_list *l)
{
	static const char *const keys[] = {
		"auto-read-only", "detect-zeroes", "discard", "node-name",
		"file.aio", "file.auto-read-only", "file.cache.direct", "file.cache.no-flush",
		"file.discard", "file.node-name", "file.read-only", "file.x-check-cache-dropped",
		"cache-clean-interval", "cache-size", "l2-cache-entry-size", "l2-cache-size",
		"lazy-refcounts", "overlap-check", "overlap-check.template",
		"pass-discard-other", "pass-discard-request", "pass-discard-snapshot",
		"refcount-cache-size",
	};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		option_list_take(l, keys[i], NULL);
}

static int take_locking(struct spec *s, struct option_list *l, struct err *e)
{
	const char *word = option_list_take(l, "file.locking", NULL);

	if (!word)
		word = option_list_take(l, "locking", NULL);
	if (!word || strcmp(word, "auto") == 0)
		s->locking = LOCKING_AUTO;
	else if (strcmp(word, "on") == 0)
		s->locking = LOCKING_ON;
	else if (strcmp(word, "off") == 0)
		s->locking = LOCKING_OFF;
	else
		return err_set(e, ERR_INVALID, "Parameter 'locking' does not accept value '%s'",
			       word);
	return 0;
}

static bool is_file_driver(const char *word)
{
	return strcmp(word, "file") == 0 || strcmp(word, "host_device") == 0;
}

static int take_driver(struct spec *s, struct option_list *l, struct err *e)
{
	const char *driver = option_list_take(l, "driver", NULL);
	const char *file_driver = option_list_take(l, "file.driver", NULL);

	if ((driver && strcmp(driver, "nbd") == 0) ||
	    (file_driver && strcmp(file_driver, "nbd") == 0))
		return err_set(e, ERR_UNSUPPORTED, "Driver 'nbd' is not supported yet");
	if (file_driver && !is_file_driver(file_driver))
		return err_set(e, ERR_INVALID, "Unknown driver '%s' for \"file\"", file_driver);
	if (!driver)
		return 0;
	s->is_file = is_file_driver(driver); /* the bytes of the file as they are */
	if (s->is_file)
		s->format = FORMAT_RAW;
	else if (!format_by_name(driver, &s->format))
		return err_set(e, ERR_INVALID, "Unknown driver '%s'", driver);
	return 0;
}

/* behind: a backing file need not be named, for the image in front of it does. */
static int take_path(struct spec *s, struct option_list *l, bool behind, struct err *e)
{
	const char *node = option_list_take(l, "file", NULL);
	const char *path = option_list_take(l, "file.filename", NULL);
	const char *short_path = option_list_take(l, "filename", NULL);

	if (node)
		return err_set(e, ERR_NOTFOUND,
			       "Cannot find device='%s' nor node-name='%s' (a path is written "
			       "file.filename=%s)",
			       node, node, node);
	if (path && short_path)
		return err_set(e, ERR_INVALID, "both 'filename' and 'file.filename' are given");
	if (!path)
		path = short_path;
	if (!path && behind)
		return 0;
	if (!path || !*path)
		return err_set(e, ERR_INVALID, "A file must be named with file.filename=");
	return copy_text(&s->path, path, e);
}

static int take_window(struct spec *s, struct option_list *l, struct err *e)
{
	const char *offset, *size;

	if (s->format != FORMAT_RAW)
		return 0; /* left over, and complained about as unknown */
	offset = option_list_take(l, "offset", NULL);
	size = option_list_take(l, "size", NULL);
	if (offset && size_from_parameter("offset", offset, &s->window_off, e) < 0)
		return -1;
	if (size && size_from_parameter("size", size, &s->window_len, e) < 0)
		return -1;
	s->has_window_len = size != NULL;
	return 0;
}

static int take_encryption(struct spec *s, struct option_list *l, struct err *e)
{
	const char *format, *secret;

	if (s->format == FORMAT_RAW)
		return 0;
	format = option_list_take(l, "encrypt.format", NULL);
	secret = option_list_take(l, "encrypt.key-secret", NULL);
	if (format && strcmp(format, "luks") != 0 && strcmp(format, "aes") != 0)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.format' does not accept value '%s'", format);
	s->has_encryption = format != NULL;
	s->is_luks = format && strcmp(format, "luks") == 0;
	if (copy_text(&s->secret_id, secret, e) < 0)
		return -1;
	if (!secret || (cmd_flags.keeps_locked && !secrets_find(secret)))
		return 0;
	return secrets_use(secret, &s->secret, e);
}

/* Takes the keys that begin with "PREFIX." out of `l` and parses them as a node of its own.
 * *node stays NULL when there are none. */
static int take_node(struct spec **node, struct option_list *l, const char *prefix,
		     enum node_role role, unsigned depth, struct err *e)
{
	struct option_list inner = { 0 };
	size_t prefix_len = strlen(prefix);
	int ret = -1;

	for (size_t i = 0; i < l->nr; i++) {
		struct option *o = &l->items[i];

		if (strncmp(o->key, prefix, prefix_len) != 0 || o->key[prefix_len] != '.')
			continue;
		o->used = true;
		if (option_list_add(&inner, o->key + prefix_len + 1, o->value, e) < 0)
			goto out;
		inner.items[inner.nr - 1].is_null = o->is_null;
	}
	ret = 0;
	if (!inner.nr)
		goto out;
	*node = calloc(1, sizeof **node);
	ret = *node ? node_parse(*node, &inner, role, depth + 1, e) : err_nomem(e);
	if (ret == 0)
		ret = copy_text(&(*node)->name, (*node)->path, e);
	if (ret < 0)
		err_ctx(e, "%s", prefix);
out:
	option_list_fini(&inner);
	return ret;
}

static int take_backing(struct spec *s, struct option_list *l, unsigned depth, struct err *e)
{
	bool is_null = option_list_is_null(l, "backing");
	const char *value;

	if (s->format == FORMAT_RAW)
		return 0;
	value = option_list_take(l, "backing", NULL);
	if (value && *value)
		return err_set(e, ERR_NOTFOUND,
			       "Cannot find device='%s' nor node-name='%s' (a path is written "
			       "backing.file.filename=%s)",
			       value, value, value);
	if (value && !is_null)
		cmd_warn("an empty \"backing\" is deprecated; its JSON spelling is null");
	s->no_backing = value != NULL;
	if (take_node(&s->backing, l, "backing", NODE_BACKING, depth, e) < 0 ||
	    take_node(&s->data_file, l, "data-file", NODE_DATA_FILE, depth, e) < 0)
		return -1;
	if (s->no_backing && s->backing)
		return err_set(e, ERR_INVALID, "\"backing\" is both empty and a node");
	return 0;
}

static int node_parse(struct spec *s, struct option_list *l, enum node_role role, unsigned depth,
		      struct err *e)
{
	const char *unused;

	if (depth > NESTING_MAX)
		return err_set(e, ERR_INVALID, "more than %d layers", NESTING_MAX);
	if (take_driver(s, l, e) < 0 || take_path(s, l, role == NODE_BACKING, e) < 0 || take_locking(s, l, e) < 0 ||
	    take_bool(l, "file.force-share", &s->force_share, e) < 0 ||
	    take_bool(l, "force-share", &s->force_share, e) < 0 ||
	    take_bool(l, "read-only", &s->read_only, e) < 0 ||
	    take_bool(l, "cache.direct", &s->direct, e) < 0 ||
	    take_bool(l, "cache.no-flush", &s->no_flush, e) < 0 ||
	    take_window(s, l, e) < 0 || take_encryption(s, l, e) < 0 ||
	    take_backing(s, l, depth, e) < 0)
		return -1;
	take_tuning(l);
	unused = option_list_unused(l);
	if (unused && s->format == FORMAT_PROBE)
		return err_set(e, ERR_INVALID, "The option '%s' is not supported", unused);
	if (unused)
		return err_set(e, ERR_INVALID,
			       "Block format '%s' does not support the option '%s'",
			       format_name(s->format), unused);
	return 0;
}

/* A first word without "=" is short for file=WORD. */
static int bare_first_word(struct option_list *l, struct err *e)
{
	struct option *first = &l->items[0];

	if (!l->nr || !first->bare)
		return 0;
	free(first->value);
	first->value = first->key;
	first->key = strdup("file");
	first->bare = false;
	return first->key ? 0 : err_nomem(e);
}

int image_opts_parse(struct spec *s, const char *text, struct err *e)
{
	struct option_list l = { 0 };
	int ret = -1;

	if (option_list_parse(&l, text, e) == 0 && bare_first_word(&l, e) == 0 &&
	    node_parse(s, &l, NODE_IMAGE, 0, e) == 0 && copy_text(&s->name, text, e) == 0)
		ret = l.help ? err_set(e, ERR_INVALID, "The option 'help' is not supported") : 0;
	option_list_fini(&l);
	return ret;
}

int image_opts_parse_json(struct spec *s, const char *text, enum image_format format,
			  struct err *e)
{
	struct option_list l = { 0 };
	int ret = -1;

	s->format = format; /* it decides which options there are */
	if (json_options_parse(&l, text + strlen("json:"), e) < 0 || node_parse(s, &l, NODE_IMAGE, 0, e) < 0 ||
	    copy_text(&s->name, text, e) < 0)
		goto out;
	if (format != FORMAT_PROBE && format != s->format) {
		err_set(e, ERR_INVALID, "-f says %s, the options say %s", format_name(format),
			format_name(s->format));
		goto out;
	}
	ret = 0;
out:
	option_list_fini(&l);
	return ret;
}
