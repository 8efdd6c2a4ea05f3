/* Whether an image's clusters were handed out long before anything is written there. */
#include <stdlib.h>

#include "base/align.h"
#include "format/refcount_block.h"
#include "format/refcount_table.h"
#include "image/internal.h"

#define PIECE	     ((size_t)64 << 10)
#define COUNTS_CHUNK 4096
/* Refcount blocks of 8 TiB with the usual clusters. What hostile images claim may be far more. */
#define READ_MAX (UINT64_C(256) << 20)

struct tally {
	const struct image *img;
	uint64_t used;	 /* clusters with a refcount, so far */
	uint64_t enough; /* there is no need to count further */
	uint64_t read;	 /* bytes */
	uint8_t *piece;	 /* PIECE bytes */
};

static bool tally_done(const struct tally *t)
{
	return t->used >= t->enough || t->read >= READ_MAX;
}

static int piece_read(struct tally *t, uint64_t off, size_t n, struct err *e)
{
	t->read += n;
	return file_read_padded(t->img->file, off, t->piece, n, NULL, e);
}

/* Counts 0 .. nr-1 of a piece of a block. */
static void piece_count(struct tally *t, uint64_t nr)
{
	uint8_t counts[COUNTS_CHUNK];

	for (uint64_t i = 0, n; i < nr && !tally_done(t); i += n) {
		n = MIN(nr - i, sizeof counts);
		refcount_block_get_saturated(t->piece, t->img->geom.refcount_order, i, n, counts);
		for (uint64_t k = 0; k < n; k++)
			t->used += counts[k] != 0;
	}
}

static int block_count(struct tally *t, uint64_t off, uint64_t nr, struct err *e)
{
	const struct geom *g = &t->img->geom;
	size_t size = (size_t)MIN((uint64_t)PIECE, geom_cluster_size(g));
	uint64_t in_piece = (uint64_t)size * 8 >> g->refcount_order;

	for (uint64_t n; nr && !tally_done(t); nr -= n, off += size) {
		n = MIN(nr, in_piece);
		if (piece_read(t, off, size, e) < 0)
			return -1;
		piece_count(t, n);
	}
	return 0;
}

/* The clusters of a file of this many. */
static int blocks_count(struct tally *t, uint64_t clusters, struct err *e)
{
	const struct header *h = &t->img->header;
	unsigned bits = geom_refcount_block_bits(&t->img->geom);
	uint64_t table_nr = (uint64_t)h->refcount_table_clusters
			    << (t->img->geom.cluster_bits - 3);
	uint64_t nr = MIN(table_nr, div_up(clusters, UINT64_C(1) << bits));
	uint8_t entries[64 * 8];

	for (uint64_t i = 0; i < nr && !tally_done(t); i++) {
		uint64_t first = i << bits, at = i % 64;

		if (at == 0) {
			size_t n = (size_t)MIN(nr - i, 64) * 8;

			if (file_read_padded(t->img->file, h->refcount_table_off + 8 * i, entries, n,
					     NULL, e) < 0)
				return -1;
			t->read += n;
		}
		uint64_t off = refcount_table_entry_decode(be64_get(entries + 8 * at)).block_off;

		if (off && block_count(t, off, MIN(clusters - first, UINT64_C(1) << bits), e) < 0)
			return -1;
	}
	return 0;
}

/* Programs that show or count clusters agree to look for holes only where the clusters in use are
 * clearly more than what the file occupies; elsewhere a mapped cluster is one that is in use, whatever
 * the file system made of its zeros. The length of the file tells most; clusters that were
 * freed make it long as well. */
bool image_looks_preallocated(const struct image *img)
{
	int64_t occupied = file_occupied(img->file);
	uint64_t clusters = geom_clusters(&img->geom, file_size(img->file));
	uint64_t used = occupied > 0 ? (uint64_t)occupied >> img->geom.cluster_bits : 0;
	struct tally t = { .img = img, .enough = MAX(used / 9 * 10 + used % 9 * 10 / 9, used + 2) };
	struct err ignored = ERR_INIT;
	bool yes;

	if (occupied < 0 || clusters < t.enough)
		return false;
	t.piece = malloc(PIECE);
	/* What can't be counted is for the check to find: the length has to do. */
	yes = !t.piece || blocks_count(&t, clusters, &ignored) < 0 || tally_done(&t);
	free(t.piece);
	return yes;
}
