/* What the undo file of a repair is to know of the image that the repair does not write:
 * all tables. Who writes to the image later changes one of them, or the length of the file,
 * unless nothing but guest data is overwritten where they are. */
#include <stdlib.h>

#include "base/align.h"
#include "format/l1_entry.h"
#include "io/file_undo.h"
#include "ops/check_internal.h"
#include "ops/repair_undo.h"

struct noting {
	struct file *file;
	struct walk *walk;
	struct repair_noted *noted;
	unsigned cluster_bits;
};

/* Clusters that were not noted before, together as far as they go. */
static int range_note(struct noting *n, uint64_t host, uint64_t len, struct err *e)
{
	uint64_t first = host >> n->cluster_bits;
	uint64_t end = MIN(((host + len - 1) >> n->cluster_bits) + 1, n->noted->clusters);

	for (uint64_t i = first, from; i < end; i++) {
		for (from = i; i < end && !bit_at(n->noted->bits, i); i++)
			bit_set(n->noted->bits, i);
		if (from < i && file_undo_note(n->file, from << n->cluster_bits,
					       (i - from) << n->cluster_bits, e) < 0)
			return -1;
	}
	return 0;
}

static int on_area(void *arg, const struct walk_area *a, struct err *e)
{
	return range_note(arg, a->host, a->len, e);
}

static int on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct noting *n = arg;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++)
		if (walk_l2_followed(n->walk, be64_get(p->bytes + i * UINT64_C(8)),
				     &host) &&
		    range_note(n, host, UINT64_C(1) << n->cluster_bits, e) < 0)
			return -1;
	return 0;
}

int repair_note(struct file *f, const struct header *h, struct repair_noted *noted,
		struct err *e)
{
	static const struct walk_ops ops = { .area = on_area, .l1_part = on_l1_part };
	struct geom g = header_geom(h);
	struct walk_source src = { f, h, &g };
	struct noting n = { .file = f, .noted = noted, .cluster_bits = g.cluster_bits };
	int ret = -1;

	if (!file_is_undo(f))
		return 0;
	if (!noted->bits) {
		noted->clusters = geom_clusters(&g, file_size(f));
		noted->bits = calloc(noted->clusters / 8 + 1, 1);
		if (!noted->bits)
			return err_nomem(e);
	}
	n.walk = walk_new(&src, &ops, &n, NULL, e);
	if (n.walk && walk_metadata(n.walk, e) == 0 && walk_l1_tables(n.walk, e) == 0)
		ret = 0;
	walk_free(n.walk);
	return ret;
}

void repair_noted_fini(struct repair_noted *noted)
{
	free(noted->bits);
	*noted = (struct repair_noted) { 0 };
}
