/* Where a repair puts what is new. Counts cannot be trusted, and what nobody refers to may be data
 * of something that cannot be read: only what lies behind the end of the file is surely free. */
#include "ops/repair_internal.h"

#include <inttypes.h>

#include "base/align.h"
#include "base/vec.h"

/* No structure but a crypto header is longer than this, and few are that long. */
#define OUTSIDE_LEN (UINT64_C(64) << 20)
#define CRYPTO_LEN_MAX (UINT64_C(1) << 40)

/* A structure that leads out of the file, and stays as it is: what is put there would become part of
 * it. */
int repair_outside_note(struct repair *r, const struct finding *f, struct err *e)
{
	uint64_t len = OUTSIDE_LEN;

	switch (f->kind) {
	case PROBLEM_CRYPTO_HEADER_OUT_OF_FILE:
		len = MIN(MAX(len, r->header.crypto.header_len), CRYPTO_LEN_MAX);
		break;
	case PROBLEM_L1_TABLE_OUT_OF_FILE:
	case PROBLEM_SNAPSHOT_L1_OUT_OF_FILE:
	case PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE:
	case PROBLEM_REFCOUNT_TABLE_OUT_OF_FILE:
	case PROBLEM_REFCOUNT_BLOCK_OUT_OF_FILE:
	case PROBLEM_BITMAP_DIRECTORY_OUT_OF_FILE:
	case PROBLEM_BITMAP_TABLE_OUT_OF_FILE:
	case PROBLEM_BITMAP_DATA_OUT_OF_FILE:
	case PROBLEM_L1_ENTRY_OUT_OF_FILE:
	case PROBLEM_L2_ENTRY_OUT_OF_FILE:
	case PROBLEM_COMPRESSED_OUT_OF_FILE:
		break;
	default:
		return 0;
	}
	if (!f->has_host || f->host > HOST_OFFSET_MAX)
		return 0;
	struct repair_outside *last = r->outside_nr ? &r->outside[r->outside_nr - 1] : NULL;

	/* Thousands of entries that lead to neighbours are the rule where a file was cut. */
	if (last && f->host >= last->host && f->host - last->host <= last->len) {
		last->len = MAX(last->len, f->host - last->host + len);
		return 0;
	}
	if (!vec_grow(&r->outside, r->outside_nr, &r->outside_room))
		return err_nomem(e);
	r->outside[r->outside_nr++] = (struct repair_outside){ f->host, len };
	return 0;
}

/* The first place from `host` on with `len` bytes that nothing leads to. */
static uint64_t outside_avoid(const struct repair *r, uint64_t host, uint64_t len)
{
	uint64_t size = geom_cluster_size(&r->geom);

	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0; i < r->outside_nr; i++) {
			const struct repair_outside *x = &r->outside[i];

			if (x->host >= host + len || host >= x->host + x->len)
				continue;
			host = align_up(x->host + x->len, size);
			moved = true;
		}
	}
	return host;
}

/* A device does not grow: what lies behind all that is counted or referred to is free. */
static bool can_grow(const struct repair *r)
{
	return file_is_regular(r->file) || !*file_path(r->file);
}

int repair_take(struct repair *r, uint64_t nr, uint64_t *host, struct err *e)
{
	uint64_t size = geom_cluster_size(&r->geom), len = nr << r->geom.cluster_bits;

	if (!r->next)
		r->next = align_up(can_grow(r) ? file_size(r->file) : r->found.image_end_offset,
				   size);
	*host = outside_avoid(r, r->next, len);
	if (*host + len > HOST_OFFSET_MAX || (!can_grow(r) && *host + len > file_size(r->file)))
		return err_set(e, ERR_IO,
			       "no space for %" PRIu64 " new clusters behind offset %#" PRIx64, nr,
			       r->next);
	r->next = *host + len;
	return 0;
}
