/* Wishes that a file system may grant or not: nothing depends on them. */
#include "io/file_internal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

void file_hint_no_copy_on_write(struct file *f)
{
	int attributes;

	/* Only btrfs knows the flag, and only while the file is empty. */
	if (f->fd < 0 || !f->regular || ioctl(f->fd, FS_IOC_GETFLAGS, &attributes) < 0)
		return;
	attributes |= FS_NOCOW_FL;
	if (ioctl(f->fd, FS_IOC_SETFLAGS, &attributes) < 0)
		return;
}

void file_hint_extent_size(struct file *f, uint32_t bytes)
{
	struct fsxattr attributes;

	if (f->fd < 0 || !f->regular || !bytes ||
	    ioctl(f->fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return;
	attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
	attributes.fsx_extsize = bytes;
	if (ioctl(f->fd, FS_IOC_FSSETXATTR, &attributes) < 0)
		return;
}

void file_hint_will_need(struct file *f, uint64_t off, uint64_t len)
{
	if (f->fd >= 0 && !(f->flags & FILE_DIRECT) &&
	    posix_fadvise(f->fd, (off_t)off, (off_t)len, POSIX_FADV_WILLNEED) != 0)
		return;
}
