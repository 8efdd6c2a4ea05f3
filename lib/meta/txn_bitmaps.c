/* Whether bitmaps have their clusters for themselves. Clusters of a bitmap are given up
 * when it changes, or are changed where they are: one that the guest, or another bitmap,
 * has as well must not be. A bit for each cluster of the file says whether a bitmap leads
 * there, another one whether anybody else does; whose it is, is asked only when there are
 * any of these.
 *
 * A second owner shows in the count, unless that is wrong, too; then only a look at all
 * tables finds him. Bitmaps change often, and L2 tables of a large disk take long to read:
 * a look at more than LOOK_BYTES of them, 512 GiB mapped in clusters of 64 KiB, takes those
 * that lie next to clusters of bitmaps, for a table usually lies in front of what it maps,
 * and then the last ones of the file. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "meta/l2_run.h"
#include "meta/txn_internal.h"
#include "meta/walk_internal.h"

#define LOOK_BYTES ((size_t)64 << 20)

struct owners {
	struct txn *txn;
	const struct geom *geom;
	struct walk *walk;
	struct l2_scan scan;
	uint64_t nr;     /* clusters of the file */
	uint64_t lo, hi; /* those that bitmaps lead to lie in lo .. hi-1 */
	uint8_t *mine;   /* a bit for each: a bitmap leads there */
	uint8_t *shared; /* likewise: and somebody else, or its count is not 1; NULL: there
			    is none */
	bool telling_directory; /* last: a bitmap that leads there says more */
	txn_shared_fn *found;
	void *arg;
};

static bool bit_at(const uint8_t *bits, uint64_t i)
{
	return bits[i >> 3] >> (i & 7) & 1;
}

static void bit_set(uint8_t *bits, uint64_t i)
{
	bits[i >> 3] |= (uint8_t)(1u << (i & 7));
}

static uint8_t *bits_new(uint64_t nr, struct err *e)
{
	uint8_t *bits = calloc((size_t)nr / 8 + 1, 1);

	if (!bits)
		err_nomem(e);
	return bits;
}

static int share(struct owners *o, uint64_t cluster, struct err *e)
{
	if (!o->shared && !(o->shared = bits_new(o->nr, e)))
		return -1;
	bit_set(o->shared, cluster);
	return 0;
}

/* Bytes host .. host+len-1 of the file. */
static uint64_t area_clusters(const struct owners *o, uint64_t host, uint64_t len,
			      uint64_t *first)
{
	unsigned bits = o->geom->cluster_bits;

	*first = host >> bits;
	return *first < o->nr ? MIN(((host + len - 1) >> bits) + 1, o->nr) : *first;
}

/* A cluster of a bitmap. The directory is metadata by itself. */
static int mine_add(struct owners *o, uint64_t cluster, bool is_directory, struct err *e)
{
	uint64_t host = cluster << o->geom->cluster_bits, count;

	if (txn_refcount(o->txn, host, &count, e) < 0)
		return -1;
	if ((count != 1 || bit_at(o->mine, cluster) ||
	     (!is_directory && txn_is_metadata(o->txn, host, 1))) &&
	    share(o, cluster, e) < 0)
		return -1;
	bit_set(o->mine, cluster);
	o->lo = MIN(o->lo, cluster);
	o->hi = MAX(o->hi, cluster + 1);
	return 0;
}

static int on_bitmap_area(void *arg, const struct walk_area *a, struct err *e)
{
	struct owners *o = arg;
	uint64_t i, end = area_clusters(o, a->host, a->len, &i);

	for (; i < end; i++)
		if (mine_add(o, i, a->what == WALK_BITMAP_DIRECTORY, e) < 0)
			return -1;
	return 0;
}

/* Clusters first .. end-1 belong to somebody else. */
static int others_add(struct owners *o, uint64_t first, uint64_t end, struct err *e)
{
	end = MIN(end, o->hi);
	for (uint64_t i = MAX(first, o->lo); i < end; i++)
		if (bit_at(o->mine, i) && share(o, i, e) < 0)
			return -1;
	return 0;
}

static int on_tree_area(void *arg, const struct walk_area *a, struct err *e)
{
	uint64_t first, end = area_clusters(arg, a->host, a->len, &first);

	return others_add(arg, first, end, e);
}

static int on_l1_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct owners *o = arg;
	uint64_t host;

	for (uint32_t i = 0; i < p->nr; i++) {
		if (!walk_l2_followed(o->walk, be64_get(p->bytes + i * UINT64_C(8)), &host))
			continue;
		host >>= o->geom->cluster_bits;
		if (others_add(o, host, host + 1, e) < 0)
			return -1;
	}
	return 0;
}

/* Whatever is wrong with it: it is believed to lead where it says. */
static int odd_add(struct owners *o, const uint8_t *table, uint32_t idx, struct err *e)
{
	struct l2_entry x = l2_entry_at(o->geom, table, idx);
	uint64_t len = x.packed ? x.host_len : geom_cluster_size(o->geom), first, end;

	if ((!x.packed && !x.has_host) || !len)
		return 0;
	end = area_clusters(o, x.host, len, &first);
	return others_add(o, first, end, e);
}

static int on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct owners *o = arg;
	struct l2_run r;

	if (o->geom->data_file)
		return 0;
	for (uint32_t from = 0; l2_run_next(&o->scan, t->bytes, from, &r);
	     from = r.idx + r.nr) {
		uint64_t first = r.host >> o->geom->cluster_bits;

		if (r.kind == L2_RUN_PLAIN ? others_add(o, first, first + r.nr, e) < 0
					   : odd_add(o, t->bytes, r.idx, e) < 0)
			return -1;
	}
	return 0;
}

/* What leads nowhere is nobody's; what can't be read may be anybody's. */
static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	return f->bad == WALK_BAD_READ ? err_set(e, ERR_IO, "%s", f->text) : 0;
}

static int on_shared_area(void *arg, const struct walk_area *a, struct err *e)
{
	struct owners *o = arg;
	struct txn_shared x = { .is_table = a->what == WALK_BITMAP_TABLE,
				.idx = o->telling_directory ? TXN_DIRECTORY
							    : a->owner.idx };
	uint64_t i, end = area_clusters(o, a->host, a->len, &i);

	if (o->telling_directory != (a->what == WALK_BITMAP_DIRECTORY))
		return 0;
	for (; i < end; i++) {
		x.host = i << o->geom->cluster_bits;
		if (bit_at(o->shared, i) && o->found(o->arg, &x, e) < 0)
			return -1;
	}
	return 0;
}

static int tables_choose(struct walk *w, struct err *e)
{
	const struct owners *o = w->arg;

	return walk_refs_near(w, o->mine, o->lo, o->hi, LOOK_BYTES >> o->geom->cluster_bits,
			      e);
}

static int trees_add(struct owners *o, struct err *e)
{
	const struct txn_image *img = &o->txn->img;
	struct walk_owner owner = { .kind = WALK_ACTIVE };

	if (walk_add_tree(o->walk, owner, img->header->l1_table_off, img->header->l1_size,
			  e) < 0)
		return -1;
	for (uint32_t i = 0; i < img->snapshot_nr; i++) {
		const struct snapshot_entry *s = &img->snapshots[i];
		struct err ignored = ERR_INIT;

		owner = (struct walk_owner) { WALK_SNAPSHOT, i };
		if (snapshot_l1_check(s, o->geom->cluster_bits, &ignored) == 0 &&
		    walk_add_tree(o->walk, owner, s->l1_off, s->l1_nr, e) < 0)
			return -1;
	}
	return walk_trees(o->walk, e);
}

/* Bitmaps, then everybody else, then bitmaps again if that is of interest. */
static int owners_find(struct owners *o, struct err *e)
{
	static const struct walk_ops mine = { .area = on_bitmap_area, .fault = on_fault };
	static const struct walk_ops others = { .area = on_tree_area,
						.fault = on_fault,
						.l1_part = on_l1_part,
						.l2_table = on_l2_table };
	static const struct walk_ops shared = { .area = on_shared_area, .fault = on_fault };

	o->walk->ops = &mine;
	if (walk_bitmaps(o->walk, e) < 0)
		return -1;
	o->walk->ops = &others;
	if (o->lo < o->hi && trees_add(o, e) < 0)
		return -1;
	o->walk->ops = &shared;
	if (!o->shared)
		return 0;
	if (walk_bitmaps(o->walk, e) < 0)
		return -1;
	o->telling_directory = true;
	return walk_bitmaps(o->walk, e);
}

int txn_bitmaps_shared(struct txn *x, const struct watch *watch, txn_shared_fn *found,
		       void *arg, struct err *e)
{
	static const struct walk_ops none;
	struct walk_source src = { x->img.file, x->img.header, x->img.geom };
	struct watch quiet = { .stop = watch ? watch->stop : NULL };
	struct owners o = { .txn = x,
			    .geom = x->img.geom,
			    .scan = l2_scan_init(x->img.geom),
			    .nr = geom_clusters(x->img.geom, file_size(x->img.file)),
			    .lo = UINT64_MAX,
			    .found = found,
			    .arg = arg };
	int ret = -1;

	if (!(x->img.header->autoclear_features & AUTOCLEAR_BITMAPS))
		return 0;
	if (o.nr > CHECK_CLUSTERS_MAX)
		return err_set(e, ERR_UNSUPPORTED, "the image has too many clusters");
	o.mine = bits_new(o.nr, e);
	o.walk = o.mine ? walk_new(&src, &none, &o, &quiet, e) : NULL;
	if (o.walk) {
		o.walk->choose = tables_choose;
		ret = owners_find(&o, e);
	}
	walk_free(o.walk);
	free(o.mine);
	free(o.shared);
	return ret;
}
