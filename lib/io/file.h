#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A row of bytes with positions. The only place where system calls on image files happen,
 * hence the only place where faults are injected. Reads and writes of different ranges may
 * run on several threads at once; everything else is for one thread. Offsets and lengths are
 * bytes; offset + length stays below 2^63 (the callers' geometry sees to that; what does not
 * is refused with ERR_INVALID). */
struct file;

enum file_flag {
	FILE_WRITE = 1 << 0,	/* open for reading and writing; else for reading */
	FILE_CREATE = 1 << 1,	/* make a regular file (0644 & ~umask) unless it exists */
	FILE_EXCLUSIVE = 1 << 2, /* with FILE_CREATE: it must not exist */
	FILE_DIRECT = 1 << 3,	/* bypass the page cache where possible; see file_is_direct() */
	FILE_SYNC_WRITES = 1 << 4, /* each write is durable when it returns */
	FILE_DIRECT_ONLY = 1 << 6, /* with FILE_DIRECT: fail where that is not possible */
	FILE_NO_FLUSH = 1 << 5,	/* file_flush() does nothing: cache mode "unsafe" */
};

/* Opens a regular file or a block or character device. Directories, FIFOs and sockets are
 * refused. `path` is used as it is: no protocol is looked for. Never truncates. */
struct file *file_open(const char *path, unsigned flags, struct err *e);
/* A file in memory that starts with a copy of n bytes. For tests and fuzzing. */
struct file *file_mem_new(const void *bytes, size_t n, struct err *e);

/* Closing can fail (a write that was put off comes to light); the handle is gone in any
 * case. NULL is fine. */
int file_close(struct file *f, struct err *e) MUST_CHECK;
/* Closes without looking: for files that were only read, and after a failure. */
void file_drop(struct file *f);

/* Reads n bytes. A range that reaches past the end is an error (ERR_IO, "unexpected end of
 * file"), so that a source that shrinks while it is read cannot pass unnoticed. */
int file_read_at(struct file *f, uint64_t off, void *buf, size_t n, struct err *e) MUST_CHECK;
/* The same, but what lies past the end reads as zeros (4.4: an image may end inside its last
 * cluster). *got, if not NULL, is how many bytes really came from the file. */
int file_read_padded(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		     struct err *e) MUST_CHECK;
/* Writes all n bytes; grows the file if need be. */
int file_write_at(struct file *f, uint64_t off, const void *buf, size_t n,
		  struct err *e) MUST_CHECK;

/* How file_zero() may make bytes read as zeros. */
enum file_zero_how {
	FILE_ZERO_PUNCH, /* give the space back where possible */
	FILE_ZERO_KEEP,	 /* keep the space allocated */
	FILE_ZERO_WRITE, /* plain writes of zeros */
};
int file_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
	      struct err *e) MUST_CHECK;
/* Gives space back; the contents of the range are undefined afterwards. Best effort. */
void file_discard(struct file *f, uint64_t off, uint64_t len);
/* Reserves space; the range reads as zeros where it was a hole, and the file grows over it. */
int file_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e) MUST_CHECK;
int file_truncate(struct file *f, uint64_t size, struct err *e) MUST_CHECK;

/* Makes everything written so far durable. */
int file_flush(struct file *f, struct err *e) MUST_CHECK;
/* Makes the directory entry of the file durable: for files that were just created. */
int file_flush_directory(struct file *f, struct err *e) MUST_CHECK;

/* Current length in bytes (of a block device: its size); file_resample() asks the system
 * again. Writes through this handle that grow the file are included. */
uint64_t file_size(const struct file *f);
int file_resample(struct file *f, struct err *e) MUST_CHECK;
/* Bytes that the file occupies on its medium; -1 if the system can't tell. */
int64_t file_occupied(const struct file *f);
bool file_is_regular(const struct file *f);
bool file_is_direct(const struct file *f); /* FILE_DIRECT was asked for and is in force */
/* From now on file_flush() does nothing, as with FILE_NO_FLUSH. While nobody else uses f. */
void file_never_flush(struct file *f);
/* The flags FILE_DIRECT, FILE_DIRECT_ONLY, FILE_SYNC_WRITES and FILE_NO_FLUSH that it was opened with, for a file
 * that is to be treated alike. */
unsigned file_cache_flags(const struct file *f);
/* The same, and FILE_WRITE: to open a file beside it that is to be written alike. */
unsigned file_write_flags(const struct file *f);
/* The name that it was opened with; "" for a memory file. */
const char *file_path(const struct file *f);
/* Whether two handles are the same file: device and inode. */
bool file_same(const struct file *a, const struct file *b);
/* Device and inode, for loop detection; false when there are none (memory). */
bool file_identity(const struct file *f, uint64_t *device, uint64_t *inode);
/* Device and inode of a path, without opening it; false if there is no such file. */
bool file_path_identity(const char *path, uint64_t *device, uint64_t *inode);
/* Wishes for a new, empty file: no copy-on-write (btrfs), and space taken in pieces of this many
 * bytes (XFS). Where the file system does not know them nothing happens. */
void file_hint_no_copy_on_write(struct file *f);
void file_hint_extent_size(struct file *f, uint32_t bytes);
/* That these bytes will be read soon: the medium fetches them while others are worked on. */
void file_hint_will_need(struct file *f, uint64_t off, uint64_t len);
/* Removes the file from its directory, if the name still leads to it. For half-made targets. */
void file_remove(struct file *f);

/* --- holes (io/hole.c) ---
 * Whether `off` lies in a hole, and how far that goes. Keeps the last answer, so asking in
 * rising order costs a system call per run, not per question. One thread at a time. */
struct hole_map {
	struct file *file;
	uint64_t start, end; /* the run that is known; empty: none */
	bool is_data;
};

static inline struct hole_map hole_map_over(struct file *f)
{
	return (struct hole_map){ .file = f };
}

/* For off < file size: *len = bytes (at least 1, at most max_len > 0) from off on that are
 * all data or all hole. At and past the end of the file all is hole. Where the system cannot
 * tell, all is data. */
void hole_map_next(struct hole_map *m, uint64_t off, uint64_t max_len, bool *is_data,
		   uint64_t *len);

/* Says in the error that it came from the data file `f` of an image, which has another name than the image. */
int file_failed_as_data(const struct file *f, struct err *e);

/* --- locks (io/lock.c), as (19) --- */
enum file_permission {
	PERMISSION_READ = 1 << 0,	     /* consistent read */
	PERMISSION_WRITE = 1 << 1,
	PERMISSION_WRITE_UNCHANGED = 1 << 2,
	PERMISSION_RESIZE = 1 << 3,
};
enum file_locking { LOCKING_AUTO, LOCKING_ON, LOCKING_OFF };

/* Says `uses` and forbids to others what is not in `shares` (both sets of
 * file_permission). ERR_BUSY on a conflict (ERR_BUSY_WRITTEN for readers), with the hint
 * "Is another process using the image [NAME]?", with the holder's pid when the kernel tells
 * it; the handle then holds no lock. LOCKING_AUTO proceeds without locks where the
 * file system has none, with a warning; LOCKING_ON makes that an error. Memory files and
 * LOCKING_OFF: nothing happens. Locks go when the file is closed. */
int file_lock(struct file *f, unsigned uses, unsigned shares, enum file_locking how,
	      const struct listener *l, struct err *e) MUST_CHECK;
