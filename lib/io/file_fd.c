/* What is done to a file that is open. */
#include "io/file_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/align.h"

/* Memory, offset and length alignment that any device we meet accepts for O_DIRECT. */
#define DIRECT_ALIGN 4096
/* The kernel transfers at most this much in one call; asking for no more keeps the loop
 * honest. */
#define TRANSFER_MAX ((size_t)1 << 30)
/* A write of 2 MiB makes the page cache look for that much in one piece, which a virtual machine
 * may first have to get from its host: two to five times the processor time of smaller writes. */
#define WHOLE_WRITE ((size_t)512 << 10)
#define WRITE_PIECE ((size_t)256 << 10)
/* A file that will be flushed begins to go to the medium each time that it got this much. */
#define WRITE_OUT_EACH (UINT64_C(8) << 20)
#define TAKE_PLACES_FROM ((size_t)128 << 10)

/* Requests that are not aligned go through the page cache: the kernel keeps both coherent.
 */
static int fd_for(struct file *f, uint64_t off, const void *buf, size_t n)
{
	int direct = file_fd_of(f)->direct_fd;

	return direct >= 0 && !((off | (uintptr_t)buf | n) & (DIRECT_ALIGN - 1)) ? direct
										 : f->fd;
}

static int fd_read(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		   struct err *e)
{
	int fd = fd_for(f, off, buf, n);

	*got = 0;
	while (*got < n) {
		ssize_t r = pread(fd, (char *)buf + *got, MIN(n - *got, TRANSFER_MAX),
				  (off_t)(off + *got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_os(e, errno, "read of %zu bytes at offset %llu", n,
				      (unsigned long long)off);
		if (r == 0)
			break;
		*got += (size_t)r;
		fd = f->fd; /* what is left after a short read may not be aligned */
	}
	return 0;
}

/* The medium is busy while the rest is made ready, and the flush finds less to wait for. It is only
 * begun, not waited for, so that a failure is still the flush's to report. */
static void write_out(struct file *f, size_t n)
{
	uint64_t was = atomic_fetch_add(&file_fd_of(f)->written, n);

	if (f->flags & (FILE_NO_FLUSH | FILE_DIRECT | FILE_SYNC_WRITES))
		return;
	if (was / WRITE_OUT_EACH != (was + n) / WRITE_OUT_EACH &&
	    sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0)
		return; /* nothing depends on it */
}

/* The places of a large write are taken at once: ext4 would make an entry for each of its blocks,
 * which costs more than copying the bytes. It is a wish: what can't be had, the write asks for. */
static void take_places(struct file *f, uint64_t off, size_t n)
{
	if (!file_fd_of(f)->takes_places || n < TAKE_PLACES_FROM ||
	    off + n <= file_fd_of(f)->places_end)
		return;
	if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)n) < 0 &&
	    errno == EOPNOTSUPP)
		file_fd_of(f)->takes_places = false;
}

static int fd_write(struct file *f, uint64_t off, const void *buf, size_t n, struct err *e)
{
	int fd = fd_for(f, off, buf, n);
	size_t done = 0;
	size_t piece = f->regular && fd == f->fd && n > WHOLE_WRITE ? WRITE_PIECE : TRANSFER_MAX;

	take_places(f, off, n);

	while (done < n) {
		ssize_t r = pwrite(fd, (const char *)buf + done,
				   MIN(n - done, piece), (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_os(e, r < 0 ? errno : EIO,
				      "write of %zu bytes at offset %llu", n,
				      (unsigned long long)off);
		done += (size_t)r;
		fd = f->fd;
	}
	if ((f->flags & FILE_SYNC_WRITES) && fdatasync(f->fd) < 0)
		return err_os(e, errno, "write at offset %llu", (unsigned long long)off);
	write_out(f, n);
	return 0;
}

static int fd_truncate(struct file *f, uint64_t size, struct err *e)
{
	if (!f->regular)
		return size <= file_size(f)
			       ? 0
			       : err_set(e, ERR_IO, "a device can't be made larger");
	if (ftruncate(f->fd, (off_t)size) < 0)
		return err_os(e, errno, "set the file length to %llu",
			      (unsigned long long)size);
	return 0;
}

static int fd_fallocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
	int r;

	do
		r = fallocate(f->fd, mode, (off_t)off, (off_t)len);
	while (r < 0 && errno == EINTR);
	return r;
}

static int fd_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
		   struct err *e)
{
	int mode = how == FILE_ZERO_PUNCH ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
					  : FALLOC_FL_ZERO_RANGE;

	/* Past the end a longer file is enough; fallocate would not grow it when it
	 * punches. */
	if (how == FILE_ZERO_PUNCH && f->regular && off + len > file_size(f)) {
		uint64_t old = file_size(f);

		if (fd_truncate(f, off + len, e) < 0)
			return -1;
		if (off >= old)
			return 1;
		len = old - off;
	}
	if (fd_fallocate(f, mode, off, len) == 0)
		return 1;
	if (errno == EOPNOTSUPP || errno == EINVAL || errno == ENODEV || errno == ENOTTY)
		return 0;
	return err_os(e, errno, "zero %llu bytes at offset %llu", (unsigned long long)len,
		      (unsigned long long)off);
}

static void fd_discard(struct file *f, uint64_t off, uint64_t len)
{
	if (fd_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len) < 0)
		return; /* best effort: the space stays taken */
}

static int fd_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	int r;

	if (!f->regular)
		return 0;
	do
		r = posix_fallocate(f->fd, (off_t)off, (off_t)len);
	while (r == EINTR);
	if (r)
		return err_os(e, r, "reserve %llu bytes at offset %llu",
			      (unsigned long long)len, (unsigned long long)off);
	return 0;
}

static int fd_flush(struct file *f, struct err *e)
{
	if (fdatasync(f->fd) < 0)
		return err_os(e, errno, "flush");
	return 0;
}

static int fd_resample(struct file *f, struct err *e)
{
	off_t end = lseek(f->fd, 0, SEEK_END);

	if (end < 0 && f->regular)
		return err_os(e, errno, "find the length");
	atomic_store(&f->size, end < 0 ? 0 : (uint64_t)end);
	return 0;
}

static bool fd_next_data(struct file *f, uint64_t off, uint64_t *data, uint64_t *hole)
{
	off_t at = lseek(f->fd, (off_t)off, SEEK_DATA);

	if (at < 0 && errno == ENXIO) {
		/* What was cut off since the file was opened is no hole: reading it must
		 * fail. */
		if (lseek(f->fd, 0, SEEK_END) < (off_t)file_size(f))
			return false;
		*data = *hole = UINT64_MAX; /* nothing but a hole behind off */
		return true;
	}
	if (at < 0 || (uint64_t)at < off)
		return false;
	*data = (uint64_t)at;
	at = lseek(f->fd, at, SEEK_HOLE);
	if (at < 0 || (uint64_t)at <= *data)
		return false;
	*hole = (uint64_t)at;
	return true;
}

static int fd_close(struct file *f, struct err *e)
{
	int ret = 0;

	if (file_fd_of(f)->direct_fd >= 0)
		close(file_fd_of(f)->direct_fd);
	if (f->fd >= 0 && close(f->fd) < 0 && (f->flags & FILE_WRITE))
		ret = err_os(e, errno, "close");
	free(f->path);
	free(f);
	return ret;
}

const struct file_ops file_fd_ops = {
	.read = fd_read,
	.write = fd_write,
	.zero = fd_zero,
	.discard = fd_discard,
	.allocate = fd_allocate,
	.truncate = fd_truncate,
	.flush = fd_flush,
	.resample = fd_resample,
	.next_data = fd_next_data,
	.close = fd_close,
};
