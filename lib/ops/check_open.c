#include <string.h>

#include "base/text.h"
#include "io/file.h"
#include "io/file_plan.h"
#include "io/file_undo.h"
#include "ops/check.h"
#include "ops/repair.h"
#include "ops/repair_undo.h"

static int open_failed(const struct spec *s, struct err *e)
{
	const char *name = s->name ? s->name : s->path;
	char shown[256];

	return err_ctx(e, "Could not open '%s'",
		       text_escape(name, strlen(name), shown, sizeof shown));
}

/* An empty file was begun by a repair that got no further. */
static struct file *empty_open(const char *path, unsigned flags, const struct file *image)
{
	struct err ignored = ERR_INIT;
	struct file *f = file_open(path, flags, &ignored);

	if (f && file_is_regular(f) && !file_size(f) && !file_same(f, image))
		return f;
	file_drop(f);
	return NULL;
}

struct file *repair_undo_make(const char *path, unsigned write_flags, const struct file *image,
			      struct err *e)
{
	unsigned flags = FILE_WRITE | (write_flags & FILE_NO_FLUSH);
	struct file *f = empty_open(path, flags, image);
	char shown[256];

	if (!f)
		f = file_open(path, flags | FILE_CREATE | FILE_EXCLUSIVE, e);
	if (!f)
		err_ctx(e, "undo file '%s'", text_escape(path, strlen(path), shown, sizeof shown));
	return f;
}

/* An undo file for a repair that never began is of no use. */
static void undo_file_remove(const char *path)
{
	struct err ignored = ERR_INIT;
	struct file *f = file_open(path, 0, &ignored);

	if (f)
		file_remove(f);
	file_drop(f);
}

int repair_file_lock(struct file *f, const struct spec *s, const struct listener *l, struct err *e)
{
	return file_lock(f, PERMISSION_READ | PERMISSION_WRITE | PERMISSION_RESIZE,
			 PERMISSION_READ | PERMISSION_WRITE_UNCHANGED, s->locking, l, e);
}

/* What the image's bytes go through. Takes f over. */
static struct file *wrap(struct file *f, const struct spec *s, const struct repair_file *how,
			 const struct listener *l, struct err *e)
{
	struct file *undo = NULL;

	if (how->plan)
		return file_plan_new(f, e);
	if (!how->undo)
		return f;
	/* What the undo file is begun with must stay so. */
	if (repair_file_lock(f, s, l, e) < 0)
		open_failed(s, e);
	else
		undo = repair_undo_make(how->undo, how->write_flags, f, e);
	if (!undo) {
		file_drop(f);
		return NULL;
	}
	f = file_undo_new(f, undo, e);
	if (!f)
		undo_file_remove(how->undo);
	return f;
}

/* how == NULL: for a look. */
static int open_with(const struct spec *s, const struct repair_file *how, const struct listener *l,
		     struct image **img, struct err *e)
{
	bool writes = how && !how->plan;
	enum image_format format;
	struct file *f = file_open(s->path, spec_file_flags(s) | (writes ? FILE_WRITE : 0) |
						    (writes ? how->write_flags : 0), e);

	*img = NULL;
	if (!f || spec_find_format(s, f, &format, e) < 0) {
		file_drop(f);
		return open_failed(s, e);
	}
	if (format == FORMAT_RAW) {
		file_drop(f);
		return 0;
	}
	if (how && !(f = wrap(f, s, how, l, e)))
		return err_is(e) && how->undo ? -1 : open_failed(s, e);
	*img = image_open(f, s, IMAGE_CHECK | (writes ? IMAGE_WRITE : 0), l, e);
	if (*img)
		return 0;
	if (how && how->undo)
		undo_file_remove(how->undo);
	return open_failed(s, e);
}

int check_open(const struct spec *s, const struct listener *l, struct image **img,
	       struct err *e)
{
	return open_with(s, NULL, l, img, e);
}

int repair_open(const struct spec *s, const struct repair_file *how, const struct listener *l,
		struct image **img, struct err *e)
{
	return open_with(s, how, l, img, e);
}
