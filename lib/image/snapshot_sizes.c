#include "image/snapshot_sizes.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "image/internal.h"
#include "meta/shares.h"

int image_snapshot_sizes(struct image *img, struct snapshot_size *sizes,
			 const struct watch *watch, struct err *e)
{
	struct walk_source src = { img->file, &img->header, &img->geom };
	size_t nr = (size_t)img->snapshot_nr + 1;
	AUTO_FREE struct tree *trees = calloc(nr, sizeof *trees);
	AUTO_FREE struct tree_share *shares = calloc(nr, sizeof *shares);
	unsigned bits = img->geom.cluster_bits;

	if (!trees || !shares)
		return err_nomem(e);
	trees[0] = (struct tree){ img->header.l1_table_off, img->header.l1_size };
	for (uint32_t i = 0; i < img->snapshot_nr; i++) {
		const struct snapshot_entry *s = &img->snapshots[i];

		if (snapshot_l1_check(s, bits, e) < 0)
			return err_ctx(e, "snapshot table: entry %u", i);
		trees[i + 1] = (struct tree){ s->l1_off, s->l1_nr };
	}
	if (tree_shares(&src, trees, (uint32_t)nr, shares, watch, e) < 0)
		return -1;
	for (uint32_t i = 0; i < img->snapshot_nr; i++)
		sizes[i] = (struct snapshot_size){ shares[i + 1].own << bits,
						   shares[i + 1].shared << bits };
	return 0;
}
