#include "io/file_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/text.h"

#define FILE_END ((uint64_t)INT64_MAX)
#define ZERO_CHUNK ((size_t)1 << 20)

/* What every operation checks once, so that no back end has to. */
static int range_check(uint64_t off, uint64_t len, struct err *e)
{
	if (off > FILE_END || len > FILE_END - off)
		return err_set(e, ERR_INVALID, "offset %llu + %llu is out of range",
			       (unsigned long long)off, (unsigned long long)len);
	return 0;
}

static int write_check(const struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	if (!(f->flags & FILE_WRITE))
		return err_set(e, ERR_INVALID, "the file is not open for writing");
	return range_check(off, len, e);
}

void file_grew(struct file *f, uint64_t size)
{
	uint64_t known = atomic_load(&f->size);

	while (known < size && !atomic_compare_exchange_weak(&f->size, &known, size))
		;
}

int file_close(struct file *f, struct err *e)
{
	if (!f)
		return 0;
	return f->ops->close(f, e);
}

void file_drop(struct file *f)
{
	struct err ignored = ERR_INIT;

	if (file_close(f, &ignored) < 0)
		return; /* nothing that matters was written, or a failure was reported already */
}

int file_read_padded(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		     struct err *e)
{
	size_t have = 0;

	if (range_check(off, n, e) < 0)
		return -1;
	if (n && f->ops->read(f, off, buf, n, &have, e) < 0)
		return -1;
	memset((char *)buf + have, 0, n - have);
	if (got)
		*got = have;
	return 0;
}

int file_read_at(struct file *f, uint64_t off, void *buf, size_t n, struct err *e)
{
	size_t got;

	if (file_read_padded(f, off, buf, n, &got, e) < 0)
		return -1;
	if (got < n)
		return err_set(e, ERR_IO, "unexpected end of file at offset %llu",
			       (unsigned long long)(off + got));
	return 0;
}

int file_write_at(struct file *f, uint64_t off, const void *buf, size_t n, struct err *e)
{
	if (write_check(f, off, n, e) < 0)
		return -1;
	if (!n)
		return 0;
	if (f->ops->write(f, off, buf, n, e) < 0)
		return -1;
	file_grew(f, off + n);
	return 0;
}

static int write_zeros(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	static const uint8_t zeros[ZERO_CHUNK] __attribute__((aligned(4096)));

	while (len) {
		size_t n = (size_t)MIN(len, sizeof zeros);

		if (f->ops->write(f, off, zeros, n, e) < 0)
			return -1;
		off += n;
		len -= n;
	}
	return 0;
}

int file_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
	      struct err *e)
{
	int done = 0;

	if (write_check(f, off, len, e) < 0)
		return -1;
	if (!len)
		return 0;
	if (how != FILE_ZERO_WRITE)
		done = f->ops->zero(f, off, len, how, e);
	if (done < 0 || (!done && write_zeros(f, off, len, e) < 0))
		return -1;
	file_grew(f, off + len);
	return 0;
}

void file_discard(struct file *f, uint64_t off, uint64_t len)
{
	struct err ignored = ERR_INIT;

	if (len && write_check(f, off, len, &ignored) == 0)
		f->ops->discard(f, off, len);
}

int file_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	if (write_check(f, off, len, e) < 0)
		return -1;
	if (!len)
		return 0;
	if (f->ops->allocate(f, off, len, e) < 0)
		return -1;
	file_grew(f, off + len);
	return 0;
}

int file_truncate(struct file *f, uint64_t size, struct err *e)
{
	if (write_check(f, 0, size, e) < 0 || f->ops->truncate(f, size, e) < 0)
		return -1;
	if (f->regular || f->fd < 0)
		atomic_store(&f->size, size); /* a device keeps its size */
	return 0;
}

int file_flush(struct file *f, struct err *e)
{
	if ((f->flags & FILE_NO_FLUSH) || !(f->flags & FILE_WRITE))
		return 0;
	return f->ops->flush(f, e);
}

void file_never_flush(struct file *f)
{
	f->flags |= FILE_NO_FLUSH;
}

int file_resample(struct file *f, struct err *e)
{
	return f->ops->resample(f, e);
}

uint64_t file_size(const struct file *f)
{
	return atomic_load(&f->size);
}

bool file_is_regular(const struct file *f)
{
	return f->regular;
}

unsigned file_cache_flags(const struct file *f)
{
	return f->flags & (FILE_DIRECT | FILE_DIRECT_ONLY | FILE_SYNC_WRITES | FILE_NO_FLUSH);
}

unsigned file_write_flags(const struct file *f)
{
	return f->flags & FILE_WRITE ? FILE_WRITE | file_cache_flags(f) : 0;
}

int file_failed_as_data(const struct file *f, struct err *e)
{
	char shown[256];

	return err_ctx(e, "data file '%s'",
		       text_escape(file_path(f), strlen(file_path(f)), shown, sizeof shown));
}

const char *file_path(const struct file *f)
{
	return f->path ? f->path : "";
}

bool file_identity(const struct file *f, uint64_t *device, uint64_t *inode)
{
	*device = f->device;
	*inode = f->inode;
	return f->fd >= 0;
}

bool file_same(const struct file *a, const struct file *b)
{
	return a == b || (a->fd >= 0 && b->fd >= 0 && a->device == b->device &&
			  a->inode == b->inode);
}
