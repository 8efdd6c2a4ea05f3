#include "cmd/convert_target.h"

#include <string.h>

#include "cmd/image_opts.h"
#include "cmd/operand.h"
#include "cmd/secrets.h"

/* Whether there is no more to it than a file and its format. */
static bool is_plain(const struct spec *s)
{
	return s->format != FORMAT_PROBE && !s->force_share && !s->read_only && !s->direct &&
	       !s->no_flush && s->locking == LOCKING_AUTO && !s->window_off &&
	       !s->has_window_len && !s->no_backing && !s->backing && !s->data_file &&
	       !s->secret_id && !s->has_encryption;
}

static bool is_new_by_options(const struct convert_choices *c)
{
	/* With -O it is refused; see convert_choices.c. */
	return c->target_image_opts && !c->no_create && !c->format;
}

int convert_target_new(const struct convert_choices *c, const char *operand, struct spec *s,
		       struct convert_options *o, struct err *e)
{
	if (!is_new_by_options(c))
		return 0;
	if (image_opts_parse(s, operand, e) < 0)
		return err_ctx(e, "'%s'", operand);
	if (!is_plain(s))
		return err_set(e, ERR_INVALID,
			       "--target-image-opts requires use of -n flag, but for driver=raw or "
			       "driver=qcow2 with file.filename= alone, which make a new image");
	o->target = s->path;
	o->format = s->format;
	return 0;
}

/* The options of an existing target: a list, or JSON, which may not contradict -O. */
static int options_parse(const struct convert_choices *c, const char *operand, struct spec *s,
			 enum image_format format, struct err *e)
{
	if (c->target_image_opts)
		return image_opts_parse(s, operand, e);
	if (image_opts_parse_json(s, operand, FORMAT_PROBE, e) < 0)
		return -1;
	if (s->format != FORMAT_PROBE && s->format != format)
		return err_set(e, ERR_INVALID, "-O says %s, the options say %s",
			       format_name(format), format_name(s->format));
	s->format = format;
	return 0;
}

int convert_target_take(const struct convert_choices *c, const char *operand, struct spec *s,
			struct convert_options *o, struct err *e)
{
	bool json = c->no_create && strncmp(operand, "json:", 5) == 0;

	if (is_new_by_options(c))
		return 0;
	if (!c->target_image_opts && !json)
		return operand_path(operand, &o->target, e);
	if (options_parse(c, operand, s, o->format, e) < 0)
		return err_ctx(e, "Could not open '%s'", operand);
	o->target = s->path;
	o->target_spec = s;
	o->locking = s->locking;
	s->chain_secret = secrets_passphrase();
	/* Without -n it is not opened at all. */
	return c->no_create ? convert_target_format(s, &o->format, e) : 0;
}
