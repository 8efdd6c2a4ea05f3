/* Bitmaps one of whose clusters has another owner as well: the guest, another structure, or
 * another bitmap. That is damage, and only a check can tell whose the cluster is. */
#include <inttypes.h>

#include "base/text.h"
#include "image/bitmaps_internal.h"
#include "image/writer_internal.h"

static int refuse(void *arg, const struct txn_shared *x, struct err *e)
{
	const struct bitmap_set *s = arg;
	char shown[64];

	err_set(e, ERR_CORRUPT,
		"its %s at %#" PRIx64 " may be somebody else's; run qcow2-check -r all",
		x->idx >= s->nr ? "cluster"
		: x->is_table   ? "table"
				: "data",
		x->host);
	if (x->idx >= s->nr)
		return err_ctx(e, "bitmap directory");
	return err_ctx(e, "bitmap '%s'",
		       text_escape(s->items[x->idx].entry.name.p,
				   s->items[x->idx].entry.name.n, shown, sizeof shown));
}

int bitmap_set_own(struct bitmap_set *s, struct image_writer *w, const struct watch *watch,
		   struct err *e)
{
	return s->is_void ? 0 : txn_bitmaps_shared(w->txn, watch, refuse, s, e);
}

static int mark(void *arg, const struct txn_shared *x, struct err *e)
{
	struct bitmap_set *s = arg;

	if (x->idx < s->nr)
		s->items[x->idx].shared = true;
	return 0;
}

int bitmap_set_find_shared(struct bitmap_set *s, struct image_writer *w, struct err *e)
{
	return txn_bitmaps_shared(w->txn, NULL, mark, s, e);
}
