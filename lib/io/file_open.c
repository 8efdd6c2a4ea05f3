/* Files by their names. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "io/file_fault.h"
#include "io/file_fd.h"

static int open_retry(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC, 0644);
	while (fd < 0 && errno == EINTR);
	return fd;
}

static bool is_ext4(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == EXT4_SUPER_MAGIC;
}

/* O_NONBLOCK: opening a FIFO must not wait for its other end. */
static int fd_setup(struct file_fd *ff, const char *path, unsigned flags, struct err *e)
{
	int mode = flags & FILE_WRITE ? O_RDWR : O_RDONLY;
	struct stat st;

	if (flags & FILE_CREATE)
		mode |= O_CREAT | (flags & FILE_EXCLUSIVE ? O_EXCL : 0);
	ff->file.fd = open_retry(path, mode | O_NONBLOCK);
	if (ff->file.fd < 0 || fstat(ff->file.fd, &st) < 0)
		return err_os(e, errno, "%s", "");
	if (S_ISDIR(st.st_mode))
		return err_os(e, EISDIR, "%s", "");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode))
		return err_set(e, ERR_UNSUPPORTED, "neither a regular file nor a device");
	ff->file.regular = S_ISREG(st.st_mode);
	ff->takes_places = ff->file.regular && (flags & FILE_WRITE) && is_ext4(ff->file.fd);
	if ((uint64_t)st.st_blocks * 512 >= (uint64_t)st.st_size)
		ff->places_end = (uint64_t)st.st_size;
	ff->file.device = st.st_dev;
	ff->file.inode = st.st_ino;
	if (S_ISBLK(st.st_mode)) { /* two nodes of one device are the same file */
		ff->file.device = UINT64_MAX;
		ff->file.inode = st.st_rdev;
	}
	if (flags & FILE_DIRECT)
		ff->direct_fd = open_retry(path, (flags & FILE_WRITE ? O_RDWR : O_RDONLY) |
							 O_NONBLOCK | O_DIRECT);
	if ((flags & FILE_DIRECT) && (flags & FILE_DIRECT_ONLY) && ff->direct_fd < 0) {
		int os = errno;

		if (flags & FILE_EXCLUSIVE)
			unlink(path); /* made a moment ago */
		return err_os(e, os, "the page cache can't be bypassed here");
	}
	return file_fd_ops.resample(&ff->file, e);
}

struct file *file_open(const char *path, unsigned flags, struct err *e)
{
	struct file_fd *ff = calloc(1, sizeof *ff);

	if (!ff || !(ff->file.path = strdup(path))) {
		free(ff);
		err_nomem(e);
		return NULL;
	}
	ff->file.ops = &file_fd_ops;
	ff->file.flags = flags;
	ff->file.fd = ff->direct_fd = -1;
	if (fd_setup(ff, path, flags, e) < 0) {
		file_drop(&ff->file);
		return NULL;
	}
	return file_fault_wrap(&ff->file, e);
}

bool file_is_direct(const struct file *f)
{
	return f->ops == &file_fd_ops && ((const struct file_fd *)f)->direct_fd >= 0;
}

int64_t file_occupied(const struct file *f)
{
	struct stat st;

	return f->fd >= 0 && fstat(f->fd, &st) == 0 ? (int64_t)st.st_blocks * 512 : -1;
}

bool file_path_identity(const char *path, uint64_t *device, uint64_t *inode)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	*device = S_ISBLK(st.st_mode) ? UINT64_MAX : st.st_dev;
	*inode = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_ino;
	return true;
}

int file_flush_directory(struct file *f, struct err *e)
{
	if (f->fd < 0 || !f->regular || (f->flags & FILE_NO_FLUSH))
		return 0;
	AUTO_FREE char *directory = realpath(f->path, NULL); /* where it is, not a link to it */
	if (!directory)
		directory = strdup(f->path);
	if (!directory)
		return err_nomem(e);
	char *slash = strrchr(directory, '/');

	if (slash)
		slash[slash == directory] = 0; /* "/x" lives in "/" */
	int fd = open_retry(slash ? directory : ".", O_RDONLY | O_DIRECTORY);

	/* File systems that cannot sync a directory say EINVAL: there is nothing to wait
	 * for. */
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL)) {
		int os = errno;

		if (fd >= 0)
			close(fd);
		return err_os(e, os, "flush the directory");
	}
	close(fd);
	return 0;
}

void file_remove(struct file *f)
{
	/* It may have been made by way of a link that led nowhere; the link stays. */
	AUTO_FREE char *path = f->fd >= 0 && f->regular ? realpath(f->path, NULL) : NULL;
	struct stat st;

	if (path && lstat(path, &st) == 0 && st.st_dev == f->device && st.st_ino == f->inode)
		unlink(path);
}
