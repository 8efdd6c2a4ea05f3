#pragma once
#include "io/file.h"

/* A file over another one that nothing reaches: what is written stays in memory, 1 GiB at most, and
 * can be listed. So a dry run is the real run on it. */

/* `inner` is taken over, also on failure; it may be open for reading only. */
struct file *file_plan_new(struct file *inner, struct err *e);
/* `lent` stays the caller's, and is to be there as long as the plan is. */
struct file *file_plan_over(struct file *lent, struct err *e);
bool file_is_plan(const struct file *f);

struct file_plan_range {
	uint64_t off, len; /* bytes that differ from the file's */
};

/* The ranges whose bytes would change, in order; those less than 8 bytes apart are one. *ranges is
 * the caller's to free. What is cut off or added at the end is not among them: see the sizes. */
int file_plan_changes(struct file *plan, struct file_plan_range **ranges, size_t *nr,
		      struct err *e) MUST_CHECK;
/* Size of the file below, in bytes. */
uint64_t file_plan_old_size(const struct file *plan);
