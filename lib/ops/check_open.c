#include <string.h>

#include "base/text.h"
#include "io/file.h"
#include "ops/check.h"
#include "ops/repair.h"

static int open_with(const struct spec *s, unsigned write_flags, const struct listener *l,
		     struct image **img, struct err *e)
{
	unsigned flags = IMAGE_CHECK | (write_flags ? IMAGE_WRITE : 0);
	const char *name = s->name ? s->name : s->path;
	enum image_format format;
	char shown[256];
	struct file *f = file_open(s->path, spec_file_flags(s) | write_flags, e);

	*img = NULL;
	if (!f || spec_find_format(s, f, &format, e) < 0) {
		file_drop(f);
	} else if (format == FORMAT_RAW) {
		file_drop(f);
		return 0;
	} else {
		*img = image_open(f, s, flags, l, e);
	}
	if (*img)
		return 0;
	text_escape(name, strlen(name), shown, sizeof shown);
	return err_ctx(e, "Could not open '%s'", shown);
}

int check_open(const struct spec *s, const struct listener *l, struct image **img,
	       struct err *e)
{
	return open_with(s, 0, l, img, e);
}

int repair_open(const struct spec *s, unsigned write_flags, const struct listener *l,
		struct image **img, struct err *e)
{
	return open_with(s, FILE_WRITE | write_flags, l, img, e);
}
