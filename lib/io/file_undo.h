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
 *	8	4	version, 2
 *	12	4	number of samples, up to 64
 *	16	8	length of the image
 *	24	8	0
 *	32	16 each	samples: offset (8), length (4), CRC-32 of these bytes of the image (4)
 *	4092	4	CRC-32 of the 4092 bytes before
 *	4096		records:
 *	0	4	magic, "undo"
 *	4	4	kind
 *	8	8	offset in the image
 *	16	8	length
 *	24	8	number of the record, from 0 on
 *	32	4	CRC-32 of the bytes that follow (0 if there are none)
 *	36	4	CRC-32 of the 36 bytes before
 *	40		the bytes
 *
 * Kinds of records:
 *
 *	1	bytes that were there: they follow
 *	2	they were zeros
 *	3	what was written there: a CRC-32 of each 512 bytes follows
 *	4	what was there and is no business of the other records, in sectors of 512 bytes: offset
 *		(8) and CRC-32 (4) of each follow; the length is that of this list
 *	5	the length that the image got (as offset), and the shortest that it had meanwhile
 *	6	all was written, and this is the length of the image (as offset)
 *
 * No byte of the image is in two records of kinds 1 and 2. A record that is not whole ends the list: a
 * crash came before it was durable, and so before anything that it is for was overwritten.
 *
 * An image is the one, and nobody else wrote to it, if its length is that of record 6 or the old one
 * (without record 6: one between those that it had); if each sector that was overwritten or added is
 * what was written last (without record 6: at any time) or what was there before, for putting back
 * may have been stopped; and if the sectors of records 4, and the samples, are as they were. Where
 * guest data that the undo file does not know of is overwritten in its place, that stays. */

/* Both files are taken over, also on failure; `undo` is new and empty. What is in `inner` now is what
 * file_undo_apply() brings back. */
struct file *file_undo_new(struct file *inner, struct file *undo, struct err *e);

bool file_is_undo(const struct file *f);
/* That these bytes of the image, as they are, must be there when it is to be made what it was: tables,
 * for who writes to the image changes one of them. What is overwritten, or was, is left out. */
int file_undo_note(struct file *f, uint64_t off, uint64_t len, struct err *e) MUST_CHECK;

struct file_undo_applied {
	uint64_t bytes; /* put back */
	bool torn;	/* the list ended in a record that is not whole */
	bool no_undo_file; /* the error is about `undo` */
};

/* Makes `image` what it was, durably; may be repeated after a crash. ERR_INVALID or ERR_UNSUPPORTED, and
 * nothing was changed, when `undo` is no undo file or not of this image, or the image was changed by
 * somebody else. */
int file_undo_apply(struct file *undo, struct file *image, struct file_undo_applied *a,
		    struct err *e) MUST_CHECK;
