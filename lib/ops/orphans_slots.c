/* L1 entries that lead somewhere, and are wrong all the same: onto guest data, or to the table of another
 * entry. */
#include "ops/orphans_internal.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/cleanup.h"

bool orphan_table_is_crowded(struct check *c, uint64_t host)
{
	uint64_t cluster = check_cluster(c, host);

	return !check_count_unknown(c, cluster) &&
	       check_stored(c, cluster) < counts_get(&c->expected, cluster);
}

/* A sound table that an entry of another one leads to by mistake is one all the same. */
bool orphan_slot_is_sound(struct check *c, uint64_t host)
{
	size_t size = geom_cluster_size(c->geom);
	AUTO_FREE uint8_t *table = NULL;
	struct err ignored = ERR_INIT;
	uint32_t used = 0, bad = 0;

	if (!check_is_crossed(c, check_cluster(c, host)))
		return true;
	table = malloc(size);
	if (!table || file_read_padded(c->file, host, table, size, NULL, &ignored) < 0)
		return true;
	for (uint32_t i = 0; i < geom_l2_entries(c->geom); i++) {
		struct l2_entry x = l2_entry_at(c->geom, table, i);

		used += x.raw || x.bitmap;
		bad += orphan_word_judge(c, &x) == ORPHAN_WORD_BAD;
	}
	return bad * 8 <= used;
}
