#include "ops/repair_undo.h"

#include <string.h>

#include "base/text.h"
#include "io/file_undo.h"

int repair_undo(const struct spec *s, const char *undo, unsigned write_flags,
		const struct listener *l, struct repair_undone *done, struct err *e)
{
	const char *name = s->name ? s->name : s->path;
	struct file_undo_applied a = { 0 };
	struct file *image, *from;
	char shown[256];
	int ret = -1;

	from = file_open(undo, 0, e);
	if (!from)
		return err_ctx(e, "undo file '%s'",
			       text_escape(undo, strlen(undo), shown, sizeof shown));
	image = file_open(s->path, FILE_WRITE | write_flags | spec_file_flags(s), e);
	if (image && repair_file_lock(image, s, l, e) == 0)
		ret = file_undo_apply(from, image, &a, e);
	if (image && file_close(image, e) < 0)
		ret = -1;
	file_drop(from);
	*done = (struct repair_undone){ .bytes = a.bytes, .torn = a.torn };
	if (ret < 0 && a.no_undo_file)
		err_ctx(e, "undo file '%s'",
			text_escape(undo, strlen(undo), shown, sizeof shown));
	else if (ret < 0)
		err_ctx(e, "'%s'", text_escape(name, strlen(name), shown, sizeof shown));
	return ret;
}
