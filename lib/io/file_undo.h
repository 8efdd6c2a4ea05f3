#pragma once
#include <stdbool.h>

#include "io/file.h"

/* A file over another one that can be taken back: before bytes are overwritten or cut off, they are
 * stored, durably, in an undo file. Writes wait in memory for a flush, for the file to be closed, or
 * for 64 MiB to be there; then what they replace is stored, and only then they are done.
 *
 * An undo file, all integers big-endian:
 *
 *	0	8	magic, "qcow2und"
 *	8	4	version, 1
 *	12	4	number of samples, up to 64
 *	16	8	length of the image
 *	24	8	0
 *	32	16 each	samples: offset (8), length (4), CRC-32 of these bytes of the image (4)
 *	4092	4	CRC-32 of the 4092 bytes before
 *	4096		records:
 *	0	4	magic, "undo"
 *	4	4	1: bytes follow; 2: they were zeros
 *	8	8	offset in the image
 *	16	8	length
 *	24	8	number of the record, from 0 on
 *	32	4	CRC-32 of the bytes that follow (0 if there are none)
 *	36	4	CRC-32 of the 36 bytes before
 *	40		the bytes
 *
 * No byte of the image is in two records. A record that is not whole ends the list: a crash came
 * before it was durable, and so before anything that it is for was overwritten. The samples tell
 * whether an image is the one: those that no record touches have to be as they were. */

/* Both files are taken over, also on failure; `undo` is new and empty. What is in `inner` now is what
 * file_undo_apply() brings back. */
struct file *file_undo_new(struct file *inner, struct file *undo, struct err *e);

struct file_undo_applied {
	uint64_t bytes; /* put back */
	bool torn;	/* the list ended in a record that is not whole */
};

/* Makes `image` what it was, durably; may be repeated after a crash. ERR_INVALID, and nothing was
 * changed, when `undo` is no undo file or not of this image. */
int file_undo_apply(struct file *undo, struct file *image, struct file_undo_applied *a,
		    struct err *e) MUST_CHECK;
