/* Opening a disk: the image that was named, and what stands behind it. */
#include "image/layer.h"

#include <string.h>

#include "base/text.h"
#include "image/policy.h"

/* What the header says of the backing file, wherever that is by now: who probes it lets the
 * guest that wrote it choose. */
static int stored_format(const struct image *img, enum image_format *format, struct err *e)
{
	char shown[64];

	*format = FORMAT_PROBE;
	if (!img->backing_format || format_by_name(img->backing_format, format))
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		       "format '%s' of the backing file is not supported",
		       text_escape(img->backing_format, strlen(img->backing_format), shown,
				   sizeof shown));
}

/* The spec of the backing file that the header of d names; *has = false: it names none. */
static int backing_spec(const struct disk *d, const struct spec *s, const struct chain *c,
			struct spec *out, bool *has, struct err *e)
{
	struct image *img = d->image;

	*has = img && img->backing_name && !s->no_backing &&
	       !(c->options->flags & DISK_NO_BACKING);
	if (!*has)
		return 0;
	if (policy_resolve(
		    file_path(img->file), img->backing_name,
		    "name the file with --image-opts backing.file.filename=... or change it "
		    "with rebase -u",
		    &out->path, e) < 0)
		return -1;
	out->name = strdup(out->path);
	if (!out->name)
		return err_nomem(e);
	out->force_share = s->force_share;
	out->locking = s->locking;
	out->direct = s->direct || c->options->backing_direct;
	out->direct_only = s->direct_only;
	if (stored_format(img, &out->format, e) < 0)
		return -1;
	if (!img->backing_format)
		warn_to(c->options->listener,
			"'%s': the image does not say the format of its backing file; it is probed",
			d->name);
	return 0;
}

/* What was said of a backing file beside its name, which is in the header. */
static void backing_spec_add(struct spec *s, const struct spec *given)
{
	if (!given || !s->path)
		return;
	if (given->format != FORMAT_PROBE)
		s->format = given->format;
	if (given->locking != LOCKING_AUTO)
		s->locking = given->locking;
	s->force_share |= given->force_share;
	s->read_only |= given->read_only;
	s->direct |= given->direct;
	s->no_flush |= given->no_flush;
	s->window_off = given->window_off;
	s->window_len = given->window_len;
	s->has_window_len = given->has_window_len;
	s->data_file = given->data_file; /* borrowed: behind_fini() */
	s->secret = given->secret;
	s->has_encryption = given->has_encryption;
	s->is_luks = given->is_luks;
	s->no_backing = given->no_backing;
}

static void behind_fini(struct spec *s)
{
	s->data_file = NULL;
	spec_fini(s);
}

static bool names_backing(const struct disk *d)
{
	return d->image && d->image->backing_name;
}

/* What stands behind d: the file that was given, or the one that the header names (put into
 * *found). *next = NULL: nothing. */
static int behind_find(struct chain *c, const struct disk *d, const struct spec *s,
		       const struct spec *given, struct spec *found,
		       const struct spec **next, struct err *e)
{
	bool has = given && given->path && !(c->options->flags & DISK_NO_BACKING);
	int ret = 0;

	*next = given;
	c->stored = FORMAT_PROBE;
	if (has && given->format == FORMAT_PROBE && names_backing(d))
		ret = stored_format(d->image, &c->stored, e);
	if (!has) {
		*next = found;
		ret = backing_spec(d, s, c, found, &has, e);
		backing_spec_add(found, given);
		if (ret == 0 && given && !given->path && !names_backing(d))
			ret = err_set(e, ERR_INVALID,
				      "options are given for it, and the image has none");
	}
	if (ret < 0)
		return err_ctx(e, "backing file (layer %u)", d->depth + 1);
	if (!has)
		*next = NULL;
	return 0;
}

static struct disk *behind_open(struct chain *c, const struct disk *d, const struct spec *s,
				struct err *e)
{
	struct disk *behind = layer_open(c, s, e);
	char shown[256];

	if (!behind)
		err_ctx(e, "backing file '%s' (layer %u)",
			text_escape(s->path, strlen(s->path), shown, sizeof shown),
			d->depth + 1);
	return behind;
}

/* Opens what stands behind the top layer, one after the other. */
static int chain_follow(struct chain *c, const struct spec *first, struct err *e)
{
	struct disk *d = c->top;
	const struct spec *s = first, *said = first, *next;
	struct spec current = { 0 },
		    found = { 0 }; /* from headers: of d, and of the next */
	int ret;

	for (;;) {
		const struct spec *given = said ? said->backing : NULL;

		ret = behind_find(c, d, s, given, &found, &next, e);
		if (ret < 0 || !next)
			break;
		d->backing = behind_open(c, d, next, e);
		if (!d->backing) {
			ret = -1;
			break;
		}
		d = d->backing;
		if (next == &found) {
			behind_fini(&current);
			current = found;
			found = (struct spec) { 0 };
			next = &current;
		}
		s = next;
		said = given;
	}
	behind_fini(&current);
	behind_fini(&found);
	return ret;
}

struct disk *disk_open_metadata(const struct spec *s, const struct disk_options *o,
				struct err *e)
{
	static const struct disk_options defaults;
	struct chain c = { .options = o ? o : &defaults, .secret = s->chain_secret };
	char shown[256];

	c.top = layer_open(&c, s, e);
	if (c.top && chain_follow(&c, s, e) == 0)
		return c.top;
	disk_close(c.top);
	const char *name = s->name ? s->name : s->path;

	err_ctx(e, "Could not open '%s'",
		text_escape(name, strlen(name), shown, sizeof shown));
	return NULL;
}
