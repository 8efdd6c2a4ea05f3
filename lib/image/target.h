#pragma once
#include <stdbool.h>

#include "base/err.h"
#include "image/create.h"
#include "image/spec.h"
#include "io/file.h"

/* A file that is about to become an image: opened, locked, emptied, and taken back when the
 * job fails. Zero-initialise; target_close() accepts that state. */
struct target {
	struct file *file;
	bool made;    /* the file did not exist before */
	bool emptied; /* what was in it is gone */
	struct hole_map holes; /* of a file that is written into as it is */
	uint64_t window_off, window_len; /* raw: the part of such a file that is the disk; len 0 with */
	bool window_fixed;		 /* this unset: the rest */
	bool guessed; /* raw because nothing says otherwise: it must not begin to look like something else */
	uint64_t device, inode; /* which file it is, for target_take_back() */
};

/* Opens `path` for writing and reading. Without `existing`, a regular file is made if there is
 * none, and devices are refused. */
int target_open(struct target *t, const char *path, unsigned cache_flags, bool existing,
		struct err *e) MUST_CHECK;
/* What `s` says of an existing raw target: which part of it is the disk. */
int target_take_spec(struct target *t, const struct spec *s, struct err *e) MUST_CHECK;
/* Takes the locks of a writer. */
int target_lock(struct target *t, enum file_locking how, const struct listener *l,
		struct err *e) MUST_CHECK;
/* Throws away what the file holds, and tells the file system what `o` wishes of it. */
int target_empty(struct target *t, const struct create_options *o, struct err *e) MUST_CHECK;
/* Bytes of the disk of an existing raw target. */
uint64_t target_size(const struct target *t);
/* Raw targets: bytes at their place in the disk. Any thread. */
int target_write(struct target *t, uint64_t off, const void *buf, size_t n,
		 struct err *e) MUST_CHECK;
/* Makes bytes of an existing raw target read as zeros. What is a hole already stays as it is, so
 * that space that was reserved stays reserved. */
int target_zero(struct target *t, uint64_t off, uint64_t len, struct err *e) MUST_CHECK;
/* Makes the file and its directory entry durable. */
int target_flush(struct target *t, struct err *e) MUST_CHECK;
/* Refuses PREALLOCATION_METADATA; target_raw_prepare() does so too, but late. */
int target_raw_check(enum preallocation how, struct err *e) MUST_CHECK;
/* Gives an emptied file the length and preallocation of a raw image. PREALLOCATION_METADATA is
 * refused. `w` stops it. */
int target_raw_prepare(struct target *t, uint64_t size, enum preallocation how,
		       const struct watch *w, struct err *e) MUST_CHECK;
/* Reserves these bytes of a file that is being made (PREALLOCATION_FALLOC), or writes zeros
 * there (PREALLOCATION_FULL), piece by piece, so that `w` stops it soon. */
int target_reserve(struct file *f, uint64_t off, uint64_t len, enum preallocation how,
		   const struct watch *w, struct err *e) MUST_CHECK;
/* Closes. If `ret` says that the job failed, or closing fails, a file that was made here is
 * removed and one that was emptied is left empty. Returns 0 or -1. */
int target_close(struct target *t, int ret, struct err *e) MUST_CHECK;
/* Does that afterwards, to a target at `path` that was closed in good order, if that is still the file.
 * For what was to be added to it and could not be. */
void target_take_back(const struct target *t, const char *path);
