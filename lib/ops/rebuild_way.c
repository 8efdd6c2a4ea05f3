#include "ops/rebuild_way.h"

#include <string.h>

#include "base/bytes.h"

#define AT_VERSION	4
#define AT_INCOMPATIBLE 72

static const struct {
	uint32_t version; /* 0: as it is */
	uint64_t set, toggle;
} ways[HEADER_WAYS] = {
	[HEADER_WAY_EXTENDED_L2] = { .toggle = INCOMPATIBLE_EXTENDED_L2 },
	[HEADER_WAY_DATA_FILE] = { .set = INCOMPATIBLE_DATA_FILE },
	[HEADER_WAY_VERSION] = { .version = 3 },
};

const char *const header_way_text[HEADER_WAYS] = {
	[HEADER_WAY_EXTENDED_L2] = "the bit for extended L2 entries the other way",
	[HEADER_WAY_DATA_FILE] = "the bit for an external data file set",
	[HEADER_WAY_VERSION] = "version 3",
};

bool header_way(const struct header *h, const uint8_t *was, size_t size, unsigned way, uint8_t *bytes,
		struct header *other)
{
	struct err ignored = ERR_INIT;
	uint64_t bits;

	/* Version 2 has other things where the bits are. */
	if (ways[way].version ? h->version == ways[way].version : h->version < 3)
		return false;
	memcpy(bytes, was, size);
	if (ways[way].version)
		be32_put(bytes + AT_VERSION, ways[way].version);
	bits = be64_get(bytes + AT_INCOMPATIBLE);
	if (bits & ways[way].set)
		return false;
	be64_put(bytes + AT_INCOMPATIBLE, (bits | ways[way].set) ^ ways[way].toggle);
	if (header_decode(bytes, size, other, &ignored) < 0)
		return false;
	return !(other->incompatible_features & INCOMPATIBLE_DATA_FILE) || other->has_data_file_name;
}
