#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/disk.h"

/* Gives a qcow2 image another backing file, or none. */
struct rebase_options {
	const char *backing;	/* name as it is to be stored; NULL or "": no backing file */
	const char *format;	/* of it: a word as it is to be stored */
	bool header_only;	/* write the name and look at nothing: what the disk reads as may change */
	bool dry_run;		/* change nothing */
	bool compress;		/* what is copied */
	bool force_share;	/* read the new backing file even while somebody writes to it */
	bool backing_direct;	/* old and new backing files bypass the page cache */
	unsigned write_flags;	/* FILE_DIRECT, FILE_SYNC_WRITES, FILE_NO_FLUSH of the image */
	const struct watch *watch;
	const struct listener *listener;
};

/* Bytes that were (dry_run: would be) copied into the image, or marked as zeros there. */
struct rebase_need {
	uint64_t data, zeros;
};

/* The disk reads the same as before: where the new chain says something else than the old one,
 * what the old one says is copied into the image. The name is changed last; until then the image is
 * one with its old backing file, however far the copying came. */
int rebase(const struct spec *image, const struct rebase_options *o, struct rebase_need *need,
	   struct err *e) MUST_CHECK;
