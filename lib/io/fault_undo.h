#pragma once
/* What a crash makes of content that was not flushed.
 *
 * Durable is what a file was at its last successful flush, or when it was opened. Each
 * 512-byte sector that was changed since then stays as it is or is put back, by choice; to
 * zeros if it lies behind the durable end. The length has a choice of its own: a file that
 * grew is cut back, unless that would take more than zeros from what stays; a file that was
 * shortened gets its length back, with all that was cut off.
 *
 * The choices follow from the seed, the operation that the crash comes instead of, the file
 * (in the order of opening) and the position. They do not depend on the order in which
 * threads write.
 *
 * - A flush makes durable what was written through the handle that is flushed: nothing
 *   opens a file twice for writing. With FILE_SYNC_WRITES each write is followed by a flush,
 *   with FILE_NO_FLUSH there is none.
 * - That a file was made is durable at once; its content is not.
 * - A file that was closed before the crash stays as it is. So does a device.
 * - At most 256 MiB are kept, for all files together. A file for which that is not enough
 *   stays as it is, unless it is flushed: then its account begins anew.
 *
 * One thread at a time, over all files. */
#include <stddef.h>

#include "io/file.h"
#include "io/fault_plan.h"

struct fault_undo {
	struct file *file; /* below the wrapper; NULL: it stays as it is */
	uint64_t nr;	   /* which file of the process */
	uint64_t size;	   /* the durable length */
	struct kept *kept; /* durable sectors that were changed: a hash table */
	size_t kept_nr, room;
	bool lost_track; /* not everything could be kept */
};

/* Begins with an open file whose content is durable. */
void undo_init(struct fault_undo *u, struct file *f, uint64_t nr);
void undo_fini(struct fault_undo *u);

/* To be called before a range is written to. */
void undo_keep(struct fault_undo *u, uint64_t off, uint64_t len);
/* To be called before a range is made to read as zeros: holes need not be kept. */
void undo_keep_data(struct fault_undo *u, uint64_t off, uint64_t len);
/* To be called before the file gets this length. */
void undo_keep_tail(struct fault_undo *u, uint64_t size);

/* The file has been flushed. */
void undo_forget(struct fault_undo *u);
/* The crash that is planned happens. */
void undo_crash(struct fault_undo *u, const struct fault_plan *p);
