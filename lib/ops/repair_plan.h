#pragma once
#include "image/image.h"

/* What a repair of an image that was opened for a plan would write. */

struct planned_write {
	uint64_t off, len; /* bytes that would change */
	unsigned whats;	   /* bits of enum walk_what; 0: data, or nothing that is in use afterwards */
};

struct repair_plan {
	struct planned_write *writes; /* in the order of the file */
	size_t nr;
	uint64_t old_size, new_size; /* of the file, in bytes */
};

/* After repair_image(). `p` is to be passed to repair_plan_fini(). */
int repair_plan_of(struct image *img, struct repair_plan *p, struct err *e) MUST_CHECK;
/* The structures that lie in what is written, "L1 table, L2 table"; NULL: none does. */
#define PLANNED_TEXT_MAX 256
const char *planned_write_text(const struct planned_write *w, char text[PLANNED_TEXT_MAX]);
/* Accepts the zeroed state. */
void repair_plan_fini(struct repair_plan *p);
