/* Another walk over the trees that the first one knew. What it can't follow was said before. */
#include "ops/check_internal.h"

struct walk *check_walk_again(struct check *c, const struct walk_ops *ops, void *arg,
			      struct err *e)
{
	struct walk_source src = { c->file, c->header, c->geom };
	struct walk_owner active = { .kind = WALK_ACTIVE };
	uint32_t nr;
	const struct walk_snapshot *snapshots = walk_snapshots(c->walk, &nr);

	c->quiet = (struct watch) { .stop = c->options->watch ? c->options->watch->stop : NULL };
	struct walk *w = walk_new(&src, ops, arg, &c->quiet, e);

	if (w)
		walk_tell_unread(w, &c->result->unread);
	if (!w || walk_add_tree(w, active, c->header->l1_table_off, c->header->l1_size, e) < 0)
		goto fail;
	for (uint32_t i = 0; i < nr; i++) {
		struct walk_owner owner = { .kind = WALK_SNAPSHOT, .idx = i };

		if (snapshots[i].followed &&
		    walk_add_tree(w, owner, snapshots[i].l1_off, snapshots[i].l1_nr, e) < 0)
			goto fail;
	}
	return w;
fail:
	walk_free(w);
	return NULL;
}
