/* The external data file (10): what entries lead to must be in it. */
#include "ops/check_internal.h"

static bool holds_data(const struct check *c, const uint8_t *table, uint32_t idx)
{
	struct l2_entry x = l2_entry_at(c->geom, table, idx);

	return c->geom->subclusters ? x.bitmap & L2_ALL_ALLOCATED : !x.zero;
}

void check_data_file_needs(struct check *c, const uint8_t *table, const struct l2_run *r)
{
	uint64_t size = geom_cluster_size(c->geom);

	for (uint32_t i = r->nr; i > 0 && r->host + i * size > c->data_needed; i--)
		if (holds_data(c, table, r->idx + i - 1))
			c->data_needed = r->host + i * size;
}

void check_data_file_length(struct check *c)
{
	uint64_t need = MIN(c->data_needed, c->geom->disk_size);
	uint64_t has = c->data_file ? file_size(c->data_file) : need;
	struct finding f = { .kind = PROBLEM_DATA_FILE_SHORT,
			     .owner = FINDING_ACTIVE,
			     .guest = has,
			     .guest_len = need > has ? need - has : 0,
			     .has_value = true,
			     .value = has };

	if (f.guest_len)
		check_found(c, &f);
}
