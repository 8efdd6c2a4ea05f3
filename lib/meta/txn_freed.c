/* Clusters that lose their last reference: somebody may write there, and their space goes back to the
 * file system. Refcounts of a damaged image may call free what another tree has, so all of the image
 * is looked at first, where that can be done. */
#include "base/align.h"
#include "base/bits.h"
#include "meta/tree.h"
#include "meta/txn_internal.h"

struct freed {
	struct txn *txn;
	const struct counts *less;
	bool done;	    /* they are lowered by `less`; else they are to be */
	uint64_t first, nr; /* clusters in a row */
	uint64_t sum;	    /* all of them */
};

static void run_end(struct freed *f)
{
	unsigned bits = f->txn->img.geom->cluster_bits;

	if (f->nr && f->done)
		file_discard(f->txn->img.file, f->first << bits, f->nr << bits);
	f->sum += f->nr;
	f->nr = 0;
}

static int page_look(struct freed *f, uint64_t first, uint64_t nr, struct err *e)
{
	const uint8_t *low = f->less->low + first;
	uint8_t saw[COUNTS_PAGE];

	if (bytes_are_zero(low, nr))
		return 0;
	if (refcounts_get_saturated(&f->txn->refcounts, first, nr, saw, e) < 0)
		return -1;
	for (uint64_t i = 0; i < nr; i++) {
		/* Both stop at 255: of so many, more may become free than do. */
		if (!low[i] || saw[i] != (f->done ? 0 : low[i]))
			continue;
		if (f->first + f->nr != first + i)
			run_end(f);
		f->first = f->nr ? f->first : first + i;
		f->nr++;
	}
	return 0;
}

static int pass(struct freed *f, struct err *e)
{
	const struct counts *c = f->less;

	for (uint64_t page = 0; page < counts_pages(c); page++) {
		uint64_t first = page << COUNTS_PAGE_BITS;

		if (c->touched[page] &&
		    page_look(f, first, MIN(c->nr - first, COUNTS_PAGE), e) < 0)
			return -1;
	}
	run_end(f);
	return 0;
}

int txn_freed_check(struct txn *x, const struct counts *less, uint64_t own, bool *sure,
		    const struct watch *watch, struct err *e)
{
	struct freed f = { .txn = x, .less = less };
	struct counts needed = { 0 };
	struct err why = ERR_INIT;
	int ret = 0;

	*sure = false;
	if (pass(&f, e) < 0)
		return -1;
	if (f.sum <= own)
		return 0;
	if (txn_references(x, &needed, watch, &why) == 0) {
		*sure = true;
		ret = txn_counts_check(x, &needed, false, e);
	} else if (why.code == ERR_STOPPED) {
		*e = why;
		ret = -1;
	}
	counts_fini(&needed);
	return ret;
}

void txn_freed_punch(struct txn *x, const struct counts *less)
{
	struct freed f = { .txn = x, .less = less, .done = true };
	struct err ignored = ERR_INIT;

	if (pass(&f, &ignored) < 0)
		return; /* the space stays taken */
}
