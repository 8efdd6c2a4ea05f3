#include "ops/check_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "ops/impact_internal.h"
#include "ops/orphans_internal.h"

void finding_set_owner(const struct check *c, struct finding *f, struct walk_owner owner)
{
	uint32_t nr;
	const struct walk_snapshot *snapshots = walk_snapshots(c->walk, &nr);

	f->owner_idx = owner.idx;
	switch (owner.kind) {
	case WALK_IMAGE:
		f->owner = FINDING_IMAGE;
		break;
	case WALK_ACTIVE:
		f->owner = FINDING_ACTIVE;
		break;
	case WALK_SNAPSHOT:
		f->owner = FINDING_SNAPSHOT;
		if (owner.idx < nr && snapshots[owner.idx].id[0])
			f->owner_id = snapshots[owner.idx].id;
		break;
	case WALK_BITMAP:
		f->owner = FINDING_BITMAP;
		break;
	}
}

void check_found(struct check *c, const struct finding *f)
{
	struct check_result *r = c->result;

	switch (problem_table[f->kind].class) {
	case PROBLEM_LEAK:
		r->leaks++;
		break;
	case PROBLEM_CORRUPTION:
		r->corruptions++;
		break;
	case PROBLEM_CHECK_ERROR:
		r->check_errors++;
		break;
	case PROBLEM_NOTE:
		r->notes++;
		break;
	}
	r->kinds[f->kind]++;
	impact_mark(c, f);
	if (c->options->found)
		c->options->found(c->options->arg, f);
}

static const struct walk_ops ops = {
	.area = check_on_area,
	.fault = check_on_fault,
	.taken = check_taken,
	.refcount_block = check_on_refcount_block,
	.l1_part = check_on_l1_part,
	.l2_table = check_on_l2_table,
};

static int check_begin(struct check *c, struct err *e)
{
	struct walk_source src = { c->file, c->header, c->geom };

	c->clusters = geom_clusters(c->geom, file_size(c->file));
	if (c->clusters > CHECK_CLUSTERS_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "the file has %" PRIu64 " clusters; more than %" PRIu64
			       " can't be checked",
			       c->clusters, CHECK_CLUSTERS_MAX);
	uint64_t blocks = (c->clusters >> geom_refcount_block_bits(c->geom)) + 1;

	if (counts_init(&c->expected, c->clusters, e) < 0 ||
	    counts_init(&c->stored, c->clusters, e) < 0)
		return -1;
	c->metadata = calloc(c->clusters / 8 + 1, 1);
	c->refcounts = calloc(c->clusters / 8 + 1, 1);
	c->blocks = calloc(blocks, sizeof *c->blocks);
	if (!c->metadata || !c->refcounts || !c->blocks)
		return err_nomem(e);
	c->scan = l2_scan_init(c->geom);
	c->walk = walk_new(&src, &ops, c, c->options->watch, e);
	if (!c->walk)
		return -1;
	walk_tell_unread(c->walk, &c->result->unread);
	return c->options->impact ? impact_marks_new(c, e) : 0;
}

void check_end(struct check *c)
{
	walk_free(c->walk);
	counts_fini(&c->expected);
	counts_fini(&c->stored);
	free(c->blocks);
	free(c->block);
	free(c->metadata);
	free(c->crossed);
	free(c->overlapped);
	free(c->refcounts);
	free(c->claims);
	free(c->foreign);
	free(c->unreferenced);
	impact_marks_free(c->marks);
	*c = (struct check){ 0 };
}

int check_run(struct check *c, struct err *e)
{
	*c->result = (struct check_result) { .total_clusters =
						 geom_clusters(c->geom, c->geom->disk_size) };
	/* Refcounts come first in walk_metadata(), so that COPIED flags can be judged while
	 * the L2 tables pass by for the first and only time. */
	if (check_begin(c, e) < 0 || check_header(c, e) < 0 ||
	    walk_metadata(c->walk, e) < 0 || walk_trees(c->walk, e) < 0 ||
	    check_compare(c, e) < 0 || (c->options->deep && check_deep(c, e) < 0))
		return -1;
	check_data_file_length(c);
	check_distrust(c);
	check_lost(c);
	if (c->options->orphans && (check_unreferenced(c, e) < 0 ||
				    orphans_find(c, c->options->orphans, e) < 0))
		return -1;
	return impact_find(c, e);
}

int check_image(struct image *img, const struct check_options *o, struct check_result *r,
		struct err *e)
{
	struct check c = {
		.geom = image_geom(img),
		.header = image_header(img),
		.file = image_file(img),
		.data_file = image_data_file(img),
		.options = o,
		.result = r,
	};
	int ret = check_run(&c, e);

	check_end(&c);
	return ret;
}
