#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "format/l2_entry.h"

/* Takes an L2 table apart into runs, fast: most tables map long stretches of neighbouring
 * host clusters, and those need one look each, not one per entry. */

/* What follows from the geometry alone; made once per walk. */
struct l2_scan {
	const struct geom *geom;
	uint64_t odd;  /* bits that a plain entry may not have */
	uint64_t zero; /* the ZERO flag, where it is one */
};

struct l2_scan l2_scan_init(const struct geom *g);

enum l2_run_kind {
	L2_RUN_PLAIN, /* standard clusters: aligned, adjoining in the file, same COPIED
		       * flag, nothing wrong with any of them; the ZERO flag may vary */
	L2_RUN_ODD, /* one entry that needs l2_entry_at(): compressed, or something is wrong
		     */
};

struct l2_run {
	uint32_t idx, nr; /* entries */
	enum l2_run_kind kind;
	bool copied;   /* PLAIN only, as the next */
	uint64_t host; /* of the first cluster; below 2^56, and so is the end of the run */
};

/* The first run at or behind entry `from`: entries without a host cluster and without a
 * fault are skipped. False when there is none. */
bool l2_run_next(const struct l2_scan *s, const uint8_t *table, uint32_t from,
		 struct l2_run *run);
