#include "ops/dd.h"

#include "base/align.h"
#include "base/overflow.h"

static uint64_t blocks_to_bytes(uint64_t blocks, uint64_t block)
{
	uint64_t bytes;

	return ovf_mul(blocks, block, &bytes) ? UINT64_MAX : bytes;
}

int dd_copy(const struct dd_options *o, bool *skipped_all, struct err *e)
{
	uint64_t begin = blocks_to_bytes(o->skip, o->block);
	uint64_t end = MIN(disk_size(o->source), blocks_to_bytes(o->count, o->block));
	struct disk *source = o->source;
	const struct convert_options c = {
		.sources = &source,
		.source_nr = 1,
		.skip = begin,
		.count = begin < end ? end - begin : 0,
		.target = o->target,
		.format = o->format,
		.create = CREATE_OPTIONS_DEFAULT,
		.sparse = 4096,
		.watch = o->watch,
		.listener = o->listener,
	};

	*skipped_all = begin > end;
	return convert(&c, e);
}
