#pragma once
#include "io/file.h"
#include "io/undo_format.h"

/* An undo file while it is written. */

struct undo_range {
	uint64_t start, end;
};

struct undo_log {
	struct file *image; /* not owned: what is there is read from it */
	struct file *file;  /* owned */
	uint64_t old_size;  /* of the image, when it began */
	uint64_t end;       /* of the undo file, so far */
	uint64_t record_nr;
	struct undo_range
		*kept; /* bytes of the image that are in it: in order, none adjoin */
	size_t kept_nr, kept_room;
	uint8_t *buf;   /* UNDO_RECORD_MAX */
	uint8_t *notes; /* UNDO_RECORD_MAX: those that wait */
	size_t notes_len;
};

/* Writes the header, durably. Takes `file` over; on failure undo_log_drop() is to follow.
 */
int undo_log_begin(struct undo_log *l, struct file *file, struct file *image,
		   struct err *e) MUST_CHECK;
int undo_log_close(struct undo_log *l, struct err *e) MUST_CHECK;
void undo_log_drop(struct undo_log *l);

/* Keeps what the image holds at off .. end-1, as far as it had that and it is not kept yet.
 */
int undo_log_keep(struct undo_log *l, uint64_t off, uint64_t end, struct err *e) MUST_CHECK;
/* What is to be written there: n bytes, up to UNDO_RECORD_MAX, from a sector's beginning
 * on; behind them the sector is zeros. */
int undo_log_written(struct undo_log *l, uint64_t off, const uint8_t *bytes, size_t n,
		     struct err *e) MUST_CHECK;
/* The length that the image gets, and the shortest before that. */
int undo_log_length(struct undo_log *l, uint64_t size, uint64_t low,
		    struct err *e) MUST_CHECK;
/* What the image holds at off .. end-1, as far as it had that and it is not kept. */
int undo_log_note(struct undo_log *l, uint64_t off, uint64_t end, struct err *e) MUST_CHECK;
/* Nothing more comes. */
int undo_log_done(struct undo_log *l, struct err *e) MUST_CHECK;
/* Makes durable what was said so far. */
int undo_log_flush(struct undo_log *l, struct err *e) MUST_CHECK;
