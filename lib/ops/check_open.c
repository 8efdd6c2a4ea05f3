#include <string.h>

#include "base/text.h"
#include "io/file.h"
#include "ops/check.h"

static int format_find(struct file *f, const struct spec *s, enum image_format *format,
		       struct err *e)
{
	uint8_t start[FORMAT_PROBE_BYTES];
	const char *foreign = NULL;
	size_t got;

	*format = s->format;
	if (*format != FORMAT_PROBE)
		return 0;
	if (file_read_padded(f, 0, start, sizeof start, &got, e) < 0)
		return -1;
	*format = format_probe(start, got, &foreign);
	if (foreign)
		return err_set(e, ERR_UNSUPPORTED,
			       "the file is in %s format, which is not supported", foreign);
	return 0;
}

int check_open(const struct spec *s, const struct listener *l, struct image **img,
	       struct err *e)
{
	const char *name = s->name ? s->name : s->path;
	enum image_format format;
	char shown[256];
	struct file *f = file_open(s->path, s->direct ? FILE_DIRECT : 0, e);

	*img = NULL;
	if (!f || format_find(f, s, &format, e) < 0) {
		file_drop(f);
	} else if (format == FORMAT_RAW) {
		file_drop(f);
		return 0;
	} else {
		*img = image_open(f, s, IMAGE_CHECK | IMAGE_ALLOW_ENCRYPTED, l, e);
	}
	if (*img)
		return 0;
	text_escape(name, strlen(name), shown, sizeof shown);
	return err_ctx(e, "Could not open '%s'", shown);
}
