#include "io/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* One byte of the file per permission: "I use it" from 100 on, "I do not let others use it"
 * from 200 on (19). All locks are shared ones; exclusion works by testing for them. Our own
 * come first and the tests second, so two that start together may both fail but never both
 * succeed. */
#define USES_BYTE    100
#define FORBIDS_BYTE 200
#define PERMISSIONS  4

static const char *const permission_names[PERMISSIONS] = { "consistent read", "write",
							   "write unchanged", "resize" };

static int lock_byte(struct file *f, short type, off_t byte)
{
	struct flock l = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	return fcntl(f->fd, F_OFD_SETLK, &l);
}

static void unlock_all(struct file *f)
{
	for (int i = 0; i < PERMISSIONS; i++) {
		lock_byte(f, F_UNLCK, USES_BYTE + i);
		lock_byte(f, F_UNLCK, FORBIDS_BYTE + i);
	}
}

static int take_all(struct file *f, unsigned uses, unsigned forbids)
{
	for (int i = 0; i < PERMISSIONS; i++) {
		if ((uses >> i & 1) && lock_byte(f, F_RDLCK, USES_BYTE + i) < 0)
			return -1;
		if ((forbids >> i & 1) && lock_byte(f, F_RDLCK, FORBIDS_BYTE + i) < 0)
			return -1;
	}
	return 0;
}

/* Whether somebody else holds the byte; *pid is set when the kernel tells whose it is. */
static bool byte_is_held(struct file *f, off_t byte, pid_t *pid)
{
	struct flock l = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	if (fcntl(f->fd, F_OFD_GETLK, &l) < 0 || l.l_type == F_UNLCK)
		return false;
	*pid = l.l_pid;
	return true;
}

static int refuse(struct file *f, const char *shared, int permission, pid_t pid,
		  struct err *e)
{
	char holder[48] = "", shown[224];

	if (pid > 0)
		snprintf(holder, sizeof holder, " (process %ld holds it)", (long)pid);
	text_escape(file_path(f), strlen(file_path(f)), shown, sizeof shown);
	unlock_all(f);
	err_set(e, *shared ? ERR_BUSY_WRITTEN : ERR_BUSY, "Failed to get %s\"%s\" lock", shared,
		permission_names[permission]);
	return err_hint(e, "Is another process using the image [%s]?%s", shown, holder);
}

static int test_all(struct file *f, unsigned uses, unsigned forbids, struct err *e)
{
	pid_t pid = 0;

	for (int i = 0; i < PERMISSIONS; i++) {
		if ((uses >> i & 1) && byte_is_held(f, FORBIDS_BYTE + i, &pid))
			return refuse(f, "", i, pid, e);
		if ((forbids >> i & 1) && byte_is_held(f, USES_BYTE + i, &pid))
			return refuse(f, "shared ", i, pid, e);
	}
	return 0;
}

int file_lock(struct file *f, unsigned uses, unsigned shares, enum file_locking how,
	      const struct listener *l, struct err *e)
{
	unsigned forbids = ~shares & ((1u << PERMISSIONS) - 1) & ~PERMISSION_READ &
			   ~PERMISSION_WRITE_UNCHANGED;

	if (f->fd < 0 || how == LOCKING_OFF)
		return 0;
	if (take_all(f, uses, forbids) == 0)
		return test_all(f, uses, forbids, e);
	int os = errno;

	unlock_all(f);
	if (os == EAGAIN || os == EACCES) /* an exclusive lock by other means */
		return refuse(f, uses & PERMISSION_WRITE ? "" : "shared ", 1, 0, e);
	if (how == LOCKING_ON)
		return err_os(e, os, "lock '%s'", file_path(f));
	warn_to(l, "'%s' can't be locked here; make sure that nobody else changes it",
		file_path(f));
	return 0;
}
