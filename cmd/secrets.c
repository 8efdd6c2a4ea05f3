#include "cmd/secrets.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "base/vec.h"
#include "cmd/base64.h"
#include "cmd/diagnostics.h"
#include "cmd/json_options.h"
#include "cmd/option_list.h"

#define SECRET_FILE_MAX ((size_t)1 << 20)

static struct {
	struct secret *items;
	size_t nr, room;
	struct secret passphrase; /* of --passphrase-file; bytes NULL: none */
} secrets;

static bool id_is_valid(const char *id)
{
	if (!isalpha((unsigned char)*id))
		return false;
	for (; *id; id++)
		if (!isalnum((unsigned char)*id) && !strchr("._-", *id))
			return false;
	return true;
}

static void wipe(struct secret *s)
{
	secret_free(s->bytes);
	free(s->id);
}

/* Gives back the room that was made for a secret of any length: locked memory is scarce. */
static int fit(struct secret *s, struct err *e)
{
	uint8_t *exact = secret_new(s->n + 1);

	if (!exact)
		return err_nomem(e);
	if (s->n)
		memcpy(exact, s->bytes, s->n);
	secret_free(s->bytes);
	s->bytes = exact;
	return 0;
}

static int read_secret_file(struct secret *s, const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return err_os(e, errno, "cannot open '%s'", path);
	setvbuf(f, NULL, _IONBF, 0); /* no copy that nobody wipes */
	s->bytes = secret_new(SECRET_FILE_MAX + 1);
	if (s->bytes)
		s->n = fread(s->bytes, 1, SECRET_FILE_MAX + 1, f);
	if (!s->bytes)
		err_nomem(e);
	else if (ferror(f))
		err_os(e, errno, "cannot read '%s'", path);
	else if (s->n > SECRET_FILE_MAX)
		err_set(e, ERR_INVALID, "'%s' is larger than 1 MiB", path);
	else if (s->n && s->bytes[s->n - 1] == '\n')
		cmd_note("'%s' ends in a newline, which is part of the secret", path);
	fclose(f);
	return err_is(e) ? -1 : fit(s, e);
}

static int load_content(struct secret *s, const char *data, const char *path, struct err *e)
{
	if (!data == !path)
		return err_set(e, ERR_INVALID,
			       "secret '%s': exactly one of data= and file= is needed", s->id);
	if (path)
		return read_secret_file(s, path, e) < 0 ? err_ctx(e, "secret '%s'", s->id) : 0;
	s->n = strlen(data);
	s->bytes = secret_new(s->n + 1);
	if (!s->bytes)
		return err_nomem(e);
	memcpy(s->bytes, data, s->n + 1);
	return 0;
}

/* Whether `key` and its value can be shown. A comma in a secret has to be doubled; where it is not, what
 * stands behind it is a part of the secret, whatever it looks like. */
static bool may_show(const struct option_list *l, const char *key)
{
	bool shows = true, behind = false;

	for (size_t i = 0; i < l->nr; i++) {
		if (strcmp(l->items[i].key, key) == 0)
			shows = !behind;
		behind |= strcmp(l->items[i].key, "data") == 0;
	}
	return shows;
}

static int take_id(struct option_list *l, struct secret *s, struct err *e)
{
	const char *id = option_list_take(l, "id", NULL);
	bool shows = may_show(l, "id");

	if (!id)
		return err_set(e, ERR_INVALID, "--object: a secret needs an id=");
	if (!id_is_valid(id))
		return err_set(e, ERR_INVALID,
			       "--object: %s%s%s is not an id: a letter, then letters, digits, "
			       "'.', '_' or '-'",
			       shows ? "'" : "", shows ? id : "what it says", shows ? "'" : "");
	if (secrets_find(id))
		return err_set(e, ERR_INVALID, "--object: there are two secrets with id '%s'",
			       id);
	s->id = strdup(id);
	return s->id ? 0 : err_nomem(e);
}

static int take_type(struct option_list *l, struct err *e)
{
	const char *type = option_list_take(l, "qom-type", NULL);
	bool shows = may_show(l, "qom-type");

	if (!type && l->nr && l->items[0].bare)
		type = l->items[0].key, l->items[0].used = true;
	if (!type)
		return err_set(e, ERR_INVALID, "--object: the type is missing (secret,id=...)");
	shows &= id_is_valid(type); /* it may be JSON that does not begin as such */
	if (strcmp(type, "secret") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "--object: objects of %s%s%s are not supported",
			       shows ? "type '" : "", shows ? type : "that type",
			       shows ? "'" : "");
	return 0;
}

/* A key alone means "on" elsewhere, which must not become a passphrase. */
static int texts_check(const struct option_list *l, struct err *e)
{
	for (size_t i = 0; i < l->nr; i++) {
		if (!l->items[i].is_text)
			return err_set(e, ERR_INVALID,
				       "--object: all values of a secret are strings, in quotes");
		if (l->items[i].bare && !l->items[i].used)
			return err_set(e, ERR_INVALID,
				       "--object: all keys of a secret have a value, as in "
				       "secret,id=ID,file=PATH (a comma in a value is doubled)");
	}
	return 0;
}

static int secret_from_list(struct option_list *l, struct secret *s, struct err *e)
{
	const char *format, *unused;

	if (take_type(l, e) < 0 || texts_check(l, e) < 0 || take_id(l, s, e) < 0)
		return -1;
	if (option_list_take(l, "keyid", NULL) || option_list_take(l, "iv", NULL))
		return err_set(e, ERR_UNSUPPORTED,
			       "secret '%s': secrets that are themselves encrypted (keyid=, "
			       "iv=) are not supported",
			       s->id);
	format = option_list_take(l, "format", NULL);
	if (format && strcmp(format, "raw") != 0 && strcmp(format, "base64") != 0)
		return err_set(e, ERR_INVALID,
			       "secret '%s': format must be raw or base64%s%s", s->id,
			       may_show(l, "format") ? ", not " : "",
			       may_show(l, "format") ? format : "");
	s->base64 = format && strcmp(format, "base64") == 0;
	if (load_content(s, option_list_take(l, "data", NULL),
			 option_list_take(l, "file", NULL), e) < 0)
		return -1;
	unused = option_list_unused(l);
	if (!unused)
		return 0;
	if (may_show(l, unused))
		return err_set(e, ERR_INVALID, "secret '%s': Invalid parameter '%s'", s->id,
			       unused);
	return err_set(e, ERR_INVALID,
		       "secret '%s': Invalid parameter behind data= (a comma in a value is doubled)",
		       s->id);
}

/* What could not be read is not shown, as others show it: it may hold a secret. */
static int parse_definition(const char *text, struct option_list *l, struct err *e)
{
	struct err why = ERR_INIT;

	if (!*text)
		return err_set(e, ERR_INVALID, "--object: nothing defined");
	if ((*text == '{' ? json_options_parse(l, text, &why) == 0
			  : option_list_parse(l, text, &why) == 0) &&
	    !l->help)
		return 0;
	if (why.code == ERR_NOMEM)
		return err_nomem(e);
	return err_set(e, ERR_INVALID,
		       *text == '{' ? "--object: json: the definition is not an object of strings"
				    : "--object: the definition is not a list like "
				      "secret,id=ID,file=PATH (a comma in a value is doubled)");
}

int secrets_add(const char *text, struct err *e)
{
	struct option_list l = { 0 };
	struct secret s = { 0 };
	int ret = -1;

	if (parse_definition(text, &l, e) < 0 || secret_from_list(&l, &s, e) < 0)
		goto out;
	if (!vec_grow(&secrets.items, secrets.nr, &secrets.room)) {
		err_nomem(e);
		goto out;
	}
	secrets.items[secrets.nr++] = s;
	s = (struct secret){ 0 };
	ret = 0;
out:
	wipe(&s);
	for (size_t i = 0; i < l.nr; i++) { /* one of them may be the secret itself */
		secret_wipe(l.items[i].key, strlen(l.items[i].key));
		secret_wipe(l.items[i].value, strlen(l.items[i].value));
	}
	option_list_fini(&l);
	return ret;
}

const struct secret *secrets_find(const char *id)
{
	for (size_t i = 0; i < secrets.nr; i++)
		if (strcmp(secrets.items[i].id, id) == 0)
			return &secrets.items[i];
	return NULL;
}

int secrets_use(const char *id, struct bytes *bytes, struct err *e)
{
	struct secret *s = (struct secret *)secrets_find(id);

	if (!s)
		return err_set(e, ERR_NOTFOUND, "No secret with id '%s'", id);
	if (s->base64 && !base64_decode(s->bytes, &s->n))
		return err_set(e, ERR_INVALID, "secret '%s': it is not valid base64", id);
	s->base64 = false;
	*bytes = (struct bytes){ s->bytes, s->n };
	return 0;
}

int secrets_add_passphrase(const char *path, struct err *e)
{
	return read_secret_file(&secrets.passphrase, path, e) < 0
		       ? err_ctx(e, "--passphrase-file")
		       : 0;
}

struct bytes secrets_passphrase(void)
{
	return (struct bytes){ secrets.passphrase.bytes, secrets.passphrase.n };
}

/* A zero byte is a character, but ends the passphrase for some programs. */
static bool is_text(struct bytes pass)
{
	uint32_t code_point = 1;
	size_t len = 1;

	for (size_t i = 0; i < pass.n && len && code_point; i += len)
		len = text_decode_utf8(pass.p + i, pass.n - i, &code_point);
	return len && code_point;
}

void secrets_warn_new(struct bytes pass)
{
	if (!pass.n)
		cmd_warn("the passphrase is empty: anybody can open the image");
	else if (!is_text(pass))
		cmd_warn("the passphrase is not UTF-8 text, and not all programs take such a one");
}

void secrets_free(void)
{
	wipe(&secrets.passphrase);
	for (size_t i = 0; i < secrets.nr; i++)
		wipe(&secrets.items[i]);
	free(secrets.items);
	memset(&secrets, 0, sizeof secrets);
}
