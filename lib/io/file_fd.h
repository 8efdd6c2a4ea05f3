#pragma once
#include "io/file_internal.h"

/* The back end of files and devices that the system has. */
struct file_fd {
	struct file file;
	int direct_fd; /* a second descriptor with O_DIRECT, or -1 */
	_Atomic uint64_t written; /* bytes, since it was opened */
	atomic_bool takes_places;
	uint64_t places_end; /* what was before this when it was opened has its places */
};

static inline struct file_fd *file_fd_of(struct file *f)
{
	return (struct file_fd *)f;
}

/* --- file_fd.c --- */
extern const struct file_ops file_fd_ops;
