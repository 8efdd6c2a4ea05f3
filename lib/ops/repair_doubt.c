/* A header that leads astray: one bit of it decides how all tables are read. Where the image seems
 * to be damaged all over, and is sound with that bit the other way, the tables are not what is to be
 * mended: a repair would make of them what the bit says. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "ops/rebuild_way.h"
#include "ops/repair_internal.h"

/* From so many findings on, and if so many times fewer are found the other way. */
#define MANY  8
#define FEWER 16

/* What is wrong with entries and tables: counts and flags say nothing of how they are to be read. */
static uint64_t tables_bad(const struct check_result *c)
{
	static const enum problem_kind kinds[] = {
		PROBLEM_CROSS_LINK,		  PROBLEM_METADATA_OVERLAP,
		PROBLEM_L1_ENTRY_UNALIGNED,	  PROBLEM_L1_ENTRY_OUT_OF_FILE,
		PROBLEM_L2_ENTRY_RESERVED,	  PROBLEM_L2_ENTRY_UNALIGNED,
		PROBLEM_L2_ENTRY_UNALIGNED_ZERO,  PROBLEM_L2_ENTRY_OUT_OF_FILE,
		PROBLEM_L2_ENTRY_ZERO_V2,	  PROBLEM_COMPRESSED_OFFSET,
		PROBLEM_COMPRESSED_OUT_OF_FILE,	  PROBLEM_COPIED_UNALLOCATED,
		PROBLEM_COMPRESSED_BITMAP,	  PROBLEM_SUBCLUSTER_BOTH,
		PROBLEM_SUBCLUSTER_NO_CLUSTER,
	};
	/* Of a table that holds something else no entry is told. */
	uint64_t nr = c->kinds[PROBLEM_L2_TABLE_FOREIGN] * MANY;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		nr += c->kinds[kinds[i]];
	return nr;
}

static uint64_t all_bad(const struct check_result *c)
{
	return tables_bad(c) + c->leaks + c->check_errors;
}

/* Whether it is worth another look at all tables. */
static bool seems_astray(const struct check_result *c)
{
	uint64_t bad = tables_bad(c);

	return (bad >= MANY && bad >= c->allocated_clusters / 8) ||
	       (c->leaks >= MANY && c->leaks >= c->allocated_clusters / 4);
}

static int way_try(struct repair *r, unsigned way, uint8_t *bytes, bool *better, struct err *e)
{
	struct check_options o = { .watch = r->options->watch };
	struct check_result found;
	struct header h;
	struct geom g;

	*better = false;
	if (!header_way(&r->header, r->header_bytes, geom_cluster_size(&r->geom), way, bytes, &h))
		return 0;
	g = header_geom(&h);
	struct check c = {
		.geom = &g, .header = &h, .file = r->file, .options = &o, .result = &found,
	};
	int ret = check_run(&c, e);

	check_end(&c);
	*better = ret == 0 && all_bad(&found) <= all_bad(&r->found) / FEWER;
	return ret;
}

int repair_header_doubt(struct repair *r, bool *doubt, struct err *e)
{
	AUTO_FREE uint8_t *bytes = malloc(geom_cluster_size(&r->geom));

	*doubt = false;
	if (!bytes)
		return err_nomem(e);
	for (unsigned way = 0; way < HEADER_WAYS && seems_astray(&r->found); way++) {
		if (way_try(r, way, bytes, doubt, e) < 0)
			return -1;
		if (!*doubt)
			continue;
		repair_say(r, "nothing is repaired: the tables make sense with another header, %s; "
			      "--rebuild-header proposes it", header_way_text[way]);
		return 0;
	}
	return 0;
}
