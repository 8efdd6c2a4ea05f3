#include "cmd/operand.h"

#include <string.h>

#include "base/text.h"
#include "cmd/cache.h"
#include "cmd/diagnostics.h"
#include "cmd/flags.h"
#include "cmd/image_opts.h"
#include "cmd/secrets.h"
#include "image/policy.h"

int operand_format(const char *word, enum image_format *format, struct err *e)
{
	*format = FORMAT_PROBE;
	if (word && !format_by_name(word, format))
		return err_set(e, ERR_INVALID, "Unknown driver '%s'", word);
	return 0;
}

/* A word and a colon before any slash is a protocol. */
static int plain_path(const char *operand, const char **path, struct err *e)
{
	*path = operand;
	if (strncmp(operand, "file:", 5) == 0)
		*path = operand + 5;
	else if (strncmp(operand, "nbd:", 4) == 0 || strncmp(operand, "nbd+", 4) == 0)
		return err_set(e, ERR_UNSUPPORTED, "Protocol 'nbd' is not supported yet");
	else if (policy_has_protocol(operand))
		return err_set(e, ERR_UNSUPPORTED,
			       "Unknown protocol '%.*s' (a file of that name is ./%s)",
			       (int)strcspn(operand, ":"), operand, operand);
	if (!**path)
		return err_set(e, ERR_INVALID, "the file name is empty");
	return 0;
}

static int named_spec(struct spec *s, const char *operand, const char *format, struct err *e)
{
	enum image_format wanted;
	const char *path;

	if (operand_format(format, &wanted, e) < 0)
		return -1;
	if (cmd_flags.image_opts)
		return image_opts_parse(s, operand, e);
	if (strncmp(operand, "json:", 5) == 0)
		return image_opts_parse_json(s, operand, wanted, e);
	if (plain_path(operand, &path, e) < 0)
		return -1;
	return spec_path(s, path, wanted) ? 0 : err_nomem(e);
}

int operand_spec(struct spec *s, const char *operand, const char *format, struct err *e)
{
	*s = (struct spec){ 0 };
	if (named_spec(s, operand, format, e) < 0)
		return err_ctx(e, "Could not open '%s'", operand);
	if (cmd_flags.force_share)
		s->force_share = true;
	s->chain_secret = secrets_passphrase();
	for (struct spec *layer = s; layer; layer = layer->backing)
		layer->direct_only = cache_is_strict();
	return 0;
}

int operand_path(const char *operand, const char **path, struct err *e)
{
	if (strncmp(operand, "json:", 5) == 0)
		return err_set(e, ERR_UNSUPPORTED, "'%s': a new file needs a plain name",
			       operand);
	if (plain_path(operand, path, e) < 0)
		return err_ctx(e, "'%s'", operand);
	return 0;
}

void operand_warn_probed(const struct spec *s, enum image_format found)
{
	const char *name = s->name ? s->name : s->path;
	char shown[512];

	if (s->format != FORMAT_PROBE || found != FORMAT_RAW)
		return;
	/* Scripts know the first line. */
	cmd_complain("WARNING: Image format was not specified for '%s' and probing guessed raw.",
		     text_escape(name, strlen(name), shown, sizeof shown));
	cmd_complain("         The contents of a raw disk can be made to look like another format, so");
	cmd_complain("         this guess can be led astray; -f raw or driver=raw says what it is, and is safe.");
}
