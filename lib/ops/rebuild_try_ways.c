/* A header that opens, and leads astray by one bit: with that bit otherwise the image may be sound. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "ops/rebuild_way.h"
#include "ops/rebuild_search.h"

#define CHUNK_ENTRIES ((uint32_t)8192)

/* How much of the disk the L1 table leads to, as far as that tells. */
static int l1_look(struct rebuild_search *s, struct rebuild *r, struct err *e)
{
	const struct header *h = &r->header;
	const struct geom g = header_geom(h);
	AUTO_FREE uint8_t *chunk = malloc(CHUNK_ENTRIES * UINT64_C(8));
	uint64_t end = 0;

	if (!chunk)
		return err_nomem(e);
	for (uint32_t i = 0, n; i < h->l1_size; i += n) {
		n = MIN(CHUNK_ENTRIES, h->l1_size - i);
		if (file_read_padded(s->scan.file, h->l1_table_off + i * UINT64_C(8), chunk,
				     n * UINT64_C(8), NULL, e) < 0)
			return -1;
		for (uint32_t k = 0; k < n; k++)
			if (be64_get(chunk + k * UINT64_C(8)) & ENTRY_OFFSET_MASK) {
				r->l1_used++;
				end = i + k + 1;
			}
	}
	r->mapped_end = MIN(end << geom_l2_span_bits(&g), h->size);
	r->room_end = (uint64_t)h->l1_size << geom_l2_span_bits(&g);
	return 0;
}

static int way_try(struct rebuild_search *s, const struct header *h, size_t len, unsigned way,
		   struct err *e)
{
	struct rebuild r = { .len = len, .bytes = malloc(len) };

	if (!r.bytes)
		return err_nomem(e);
	for (unsigned i = 0; i < REBUILD_FIELDS; i++)
		r.source[i] = REBUILD_OLD;
	r.source[way == HEADER_WAY_VERSION ? REBUILD_VERSION : REBUILD_FEATURES] = REBUILD_FOUND;
	if (header_way(h, s->old, len, way, r.bytes, &r.header)) {
		if (l1_look(s, &r, e) == 0)
			return search_judge(s, &r, e);
	}
	rebuild_fini(&r);
	return err_is(e) ? -1 : 0;
}

int search_ways(struct rebuild_search *s, struct err *e)
{
	struct err why = ERR_INIT;
	struct header h;
	size_t len = s->best->len;

	if (!s->best->bytes || (!rebuild_errors(s->best) && !s->best->check.leaks) ||
	    header_decode(s->old, len, &h, &why) < 0)
		return 0;
	for (unsigned way = 0; way < HEADER_WAYS; way++)
		if (way_try(s, &h, len, way, e) < 0)
			return -1;
	return 0;
}
