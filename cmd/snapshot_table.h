#pragma once
#include <stdint.h>

#include "image/image.h"
#include "image/snapshot_sizes.h"
#include "out/emit.h"

/* Internal snapshots as people and programs read them: a table with a heading, or objects of a
 * list that the caller has begun. nr = 0: nothing at all. `sizes`: two more columns or keys; or
 * NULL. */
void snapshot_table_print(struct emit *out, const struct snapshot_entry *s,
			  const struct snapshot_size *sizes, uint32_t nr);
/* The same in parts: the heading, and a row or object, with the sizes or not as the heading says. */
void snapshot_table_heading(struct emit *out, bool sizes);
void snapshot_table_row(struct emit *out, const struct snapshot_entry *s,
			const struct snapshot_size *size);
