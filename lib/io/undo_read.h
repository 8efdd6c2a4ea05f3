#pragma once
#include "io/file.h"
#include "io/undo_format.h"

/* An undo file while it is read. */

struct undo_span {
	struct undo_record record;
	uint64_t at; /* of its bytes in the undo file */
};

/* The image was cut to `low` bytes after the record before nr. */
struct undo_cut {
	uint64_t nr, low;
};

struct undo_read {
	struct file *file; /* not owned */
	uint8_t header[UNDO_HEADER];
	uint64_t old_size; /* of the image */
	uint32_t sample_nr;
	struct undo_span *old;     /* records of kinds 1 and 2, in the order of the image */
	struct undo_span *written; /* of kind 3, the same */
	struct undo_span *notes;   /* of kind 4 */
	struct undo_cut *cuts;
	size_t old_nr, old_room, written_nr, written_room, notes_nr, notes_room, cuts_nr,
		cuts_room;
	bool torn;     /* the list ended in a record that is not whole */
	bool done;     /* record 6 is there */
	uint64_t size; /* that it got last */
	uint64_t size_min,
		size_max; /* lengths that the image may have; done: the one, twice */
};

/* Reads the header and all heads of records, and looks whether what follows them is whole.
 * To be followed by undo_read_fini() in any case. */
int undo_read_open(struct undo_read *u, struct file *file, struct err *e) MUST_CHECK;
void undo_read_fini(struct undo_read *u);

/* The bytes of a record from `skip` on. */
int undo_read_body(const struct undo_read *u, const struct undo_span *s, size_t skip,
		   uint8_t *buf, size_t n, struct err *e) MUST_CHECK;
/* What the image held: `n` bytes from `off` on, all of them in this record. */
int undo_read_old(const struct undo_read *u, const struct undo_span *s, uint64_t off,
		  uint8_t *buf, size_t n, struct err *e) MUST_CHECK;
/* Whether a record of kind 1 or 2 has this byte. */
bool undo_read_has_old(const struct undo_read *u, uint64_t off);

static inline const uint8_t *undo_read_sample(const struct undo_read *u, uint32_t i)
{
	return u->header + UNDO_SAMPLES_AT + (size_t)i * UNDO_SAMPLE;
}

/* --- undo_judge.c --- */
/* Whether the image is the one, and as it was left; else ERR_INVALID. */
int undo_judge(const struct undo_read *u, struct file *image, struct err *e) MUST_CHECK;
