#include "image/target.h"

#include <errno.h>

#include "base/align.h"

#define ZERO_STEP    (UINT64_C(64) << 20)
#define RESERVE_STEP (UINT64_C(1) << 30) /* takes no time where the file system can do it */

/* Finds out whether it was there before. */
static int open_or_make(struct target *t, const char *path, unsigned flags, struct err *e)
{
	struct err first = ERR_INIT, second = ERR_INIT;

	t->file = file_open(path, flags | FILE_CREATE | FILE_EXCLUSIVE, &first);
	t->made = t->file != NULL;
	if (t->file)
		return 0;
	if (first.os != EEXIST) {
		*e = first;
		return -1;
	}
	t->file = file_open(path, flags, &second);
	if (!t->file && second.os != ENOENT)
		*e = second;
	if (t->file || second.os != ENOENT)
		return t->file ? 0 : -1;
	/* It is there and it is not: a link that leads nowhere yet. */
	t->file = file_open(path, flags | FILE_CREATE, e);
	t->made = t->file != NULL;
	return t->made ? 0 : -1;
}

int target_open(struct target *t, const char *path, unsigned cache_flags, bool existing,
		struct err *e)
{
	unsigned flags = FILE_WRITE | cache_flags;

	if (existing) {
		t->file = file_open(path, flags, e);
		return t->file ? 0 : err_ctx(e, "Could not open '%s'", path);
	}
	if (open_or_make(t, path, flags, e) < 0)
		return err_ctx(e, "Could not create '%s'", path);
	if (file_is_regular(t->file))
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		       "'%s' is a device: nothing is created there, but convert -n writes into it",
		       path);
}

int target_lock(struct target *t, enum file_locking how, const struct listener *l,
		struct err *e)
{
	return file_lock(t->file, PERMISSION_READ | PERMISSION_WRITE | PERMISSION_RESIZE,
			 PERMISSION_READ | PERMISSION_WRITE_UNCHANGED, how, l, e);
}

int target_empty(struct target *t, const struct create_options *o, struct err *e)
{
	t->emptied = true;
	/* Some file systems write a file out as soon as it is closed if it was cut to
	 * nothing before: a file that is empty is left alone. */
	if (file_size(t->file) && file_truncate(t->file, 0, e) < 0)
		return -1;
	if (o->nocow)
		file_hint_no_copy_on_write(t->file);
	file_hint_extent_size(t->file, o->extent_size_hint);
	return 0;
}

int target_take_spec(struct target *t, const struct spec *s, struct err *e)
{
	t->guessed = s->format == FORMAT_PROBE;
	t->window_off = s->window_off;
	t->window_len = s->window_len;
	t->window_fixed = s->has_window_len;
	return spec_window_check(s, file_size(t->file), e);
}

uint64_t target_size(const struct target *t)
{
	return t->window_fixed ? t->window_len : file_size(t->file) - t->window_off;
}

/* The first bytes that are written to what is raw by a guess. */
static int signature_check(const void *buf, size_t n, struct err *e)
{
	const char *foreign;
	enum image_format format = format_probe(buf, n, &foreign);

	if (format == FORMAT_RAW && !foreign)
		return 0;
	return err_set(e, ERR_INVALID,
		       "nothing says that it is raw, and what is to be written looks like %s: "
		       "driver=raw says so",
		       foreign ? foreign : format_name(format));
}

int target_write(struct target *t, uint64_t off, const void *buf, size_t n, struct err *e)
{
	if (t->guessed && !off && signature_check(buf, n, e) < 0)
		return -1;
	return file_write_at(t->file, t->window_off + off, buf, n, e);
}

int target_zero(struct target *t, uint64_t off, uint64_t len, struct err *e)
{
	off += t->window_off;
	t->holes.file = t->file;
	while (len) {
		bool is_data;
		uint64_t n;

		hole_map_next(&t->holes, off, len, &is_data, &n);
		if (is_data && file_zero(t->file, off, n, FILE_ZERO_KEEP, e) < 0)
			return -1;
		off += n;
		len -= n;
	}
	return 0;
}

int target_flush(struct target *t, struct err *e)
{
	if (file_flush(t->file, e) < 0)
		return -1;
	return file_flush_directory(t->file, e);
}

int target_raw_check(enum preallocation how, struct err *e)
{
	if (how != PREALLOCATION_METADATA)
		return 0;
	return err_set(e, ERR_INVALID,
		       "preallocation=metadata means nothing for a raw image");
}

int target_reserve(struct file *f, uint64_t off, uint64_t len, enum preallocation how,
		   const struct watch *w, struct err *e)
{
	bool full = how == PREALLOCATION_FULL;

	for (uint64_t n; len; off += n, len -= n) {
		n = MIN(len, full ? ZERO_STEP : RESERVE_STEP);
		if (watch_stopped(w, e) < 0 ||
		    (full ? file_zero(f, off, n, FILE_ZERO_WRITE, e) < 0
			  : file_allocate(f, off, n, e) < 0))
			return -1;
	}
	return 0;
}

int target_raw_prepare(struct target *t, uint64_t size, enum preallocation how,
		       const struct watch *w, struct err *e)
{
	switch (how) {
	case PREALLOCATION_METADATA:
		return target_raw_check(how, e);
	case PREALLOCATION_FALLOC:
	case PREALLOCATION_FULL:
		return target_reserve(t->file, 0, size, how, w, e);
	default:
		return file_truncate(t->file, size, e);
	}
}

static void take_back(const struct target *t, struct file *f)
{
	struct err ignored = ERR_INIT;

	if (t->made)
		file_remove(f);
	else if (t->emptied && file_truncate(f, 0, &ignored) < 0)
		return; /* nothing more can be done; the first failure is the one to report */
}

void target_take_back(const struct target *t, const char *path)
{
	struct err ignored = ERR_INIT;
	uint64_t device, inode;
	struct file *f;

	if (!t->made && !t->emptied)
		return;
	f = file_open(path, FILE_WRITE, &ignored);
	if (f && file_identity(f, &device, &inode) && device == t->device && inode == t->inode)
		take_back(t, f);
	file_drop(f);
}

int target_close(struct target *t, int ret, struct err *e)
{
	if (!t->file)
		return ret;
	if (ret < 0)
		take_back(t, t->file);
	else if (!file_identity(t->file, &t->device, &t->inode))
		t->made = t->emptied = false; /* nobody could tell it from another */
	if (file_close(t->file, e) < 0)
		ret = -1;
	t->file = NULL;
	return ret;
}
