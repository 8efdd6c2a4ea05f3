#include <string.h>

#include "base/text.h"
#include "io/file.h"
#include "ops/check.h"

int check_open(const struct spec *s, const struct listener *l, struct image **img,
	       struct err *e)
{
	const char *name = s->name ? s->name : s->path;
	enum image_format format;
	char shown[256];
	struct file *f = file_open(s->path, spec_file_flags(s), e);

	*img = NULL;
	if (!f || spec_find_format(s, f, &format, e) < 0) {
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
