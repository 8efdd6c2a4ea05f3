#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "image/spec.h"

struct repair_undone {
	uint64_t bytes; /* put back */
	bool torn;	/* the undo file ends in a record that is not whole, as after a crash */
};

/* Makes the file that `s` names what it was when the undo file at `undo` was begun; locked as a
 * writer does. The file need not be an image any more. write_flags: FILE_SYNC_WRITES, FILE_NO_FLUSH. */
int repair_undo(const struct spec *s, const char *undo, unsigned write_flags,
		const struct listener *l, struct repair_undone *done, struct err *e) MUST_CHECK;

/* The undo file for a repair of `image`, new or empty. */
struct file *repair_undo_make(const char *path, unsigned write_flags, const struct file *image,
			      struct err *e);

/* Locks a file that is to be written to as any writer does. */
int repair_file_lock(struct file *f, const struct spec *s, const struct listener *l,
		     struct err *e) MUST_CHECK;

/* Clusters of the image as it was found that the undo file knows of. Zero-initialise. */
struct repair_noted {
	uint8_t *bits;
	uint64_t clusters;
};

/* Tells the undo file that f writes to, if it does, where the tables of an image with this header are,
 * and what they hold. Before the first write, for a repair may be cut short; and at its end, for there
 * may be more tables then. */
struct header;
int repair_note(struct file *f, const struct header *h, struct repair_noted *noted,
		struct err *e) MUST_CHECK;
void repair_noted_fini(struct repair_noted *noted);
