/* Where metadata is when a txn begins. Structures that lie across each other are noticed here:
 * such an image is not written to. */
#include <inttypes.h>

#include "base/align.h"
#include "format/l1_entry.h"
#include "meta/tree.h"
#include "meta/txn_internal.h"

static int add_bytes(struct txn *x, uint64_t off, uint64_t len, enum overlap_what what,
		     struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;

	return overlap_add(&x->overlap, off >> bits, geom_clusters(x->img.geom, len), what, e);
}

/* What lies past the end of the file is not there: tables that claim to reach far do not cost memory
 * for it. */
static int file_bytes_add(struct txn *x, uint64_t off, uint64_t len, enum overlap_what what,
			  struct err *e)
{
	uint64_t end = align_up(file_size(x->img.file), geom_cluster_size(x->img.geom));

	return off < end ? add_bytes(x, off, MIN(len, end - off), what, e) : 0;
}

static int refcount_blocks_add(struct txn *x, struct err *e)
{
	const struct refcounts *r = &x->refcounts;

	for (uint64_t i = 0; i < r->table_nr; i++)
		if (r->table[i] &&
		    add_bytes(x, r->table[i], geom_cluster_size(x->img.geom),
			      OVERLAP_REFCOUNT_BLOCK, e) < 0)
			return -1;
	return 0;
}

static int l2_tables_add(struct txn *x, struct err *e)
{
	const struct header *h = x->img.header;
	unsigned slice_bits = table_cache_slice_bits(x->img.tables);
	uint64_t len = h->l1_size * UINT64_C(8), size = UINT64_C(1) << slice_bits;
	int ret = 0;

	for (uint64_t at = 0; ret == 0 && at < len; at += size) {
		const struct table_slice *s;

		if (table_cache_get(x->img.tables, h->l1_table_off + at, &s, e) < 0)
			return err_ctx(e, "L1 table");
		for (uint64_t i = 0; ret == 0 && i < MIN(size, len - at); i += 8) {
			struct l1_entry l1 = l1_entry_decode(be64_get(s->bytes + i));

			if (l1.l2_off && geom_in_cluster(x->img.geom, l1.l2_off))
				ret = err_set(e, ERR_CORRUPT,
					      "the L2 table at %#" PRIx64
					      " is not cluster aligned; run check",
					      l1.l2_off);
			else if (l1.l2_off)
				ret = add_bytes(x, l1.l2_off,
						geom_cluster_size(x->img.geom),
						OVERLAP_L2_TABLE, e);
		}
		table_cache_put(x->img.tables, s);
	}
	return ret;
}

static int snapshots_add(struct txn *x, struct err *e)
{
	const struct header *h = x->img.header;
	uint64_t len = 0;

	for (uint32_t i = 0; i < x->img.snapshot_nr; i++) {
		const struct snapshot_entry *s = &x->img.snapshots[i];
		struct err why = ERR_INIT;

		len += snapshot_entry_stored_len(s, len);
		if (snapshot_l1_check(s, h->cluster_bits, &why) < 0)
			continue; /* it can't be used, and is not written to either */
		if (file_bytes_add(x, s->l1_off, s->l1_nr * UINT64_C(8), OVERLAP_SNAPSHOT_L1,
				   e) < 0)
			return -1;
	}
	return add_bytes(x, h->snapshots_off, len, OVERLAP_SNAPSHOT_TABLE, e);
}

int txn_overlap_load(struct txn *x, struct err *e)
{
	const struct header *h = x->img.header;

	if (add_bytes(x, 0, 1, OVERLAP_HEADER, e) < 0 ||
	    add_bytes(x, h->l1_table_off, h->l1_size * UINT64_C(8), OVERLAP_L1_TABLE, e) < 0 ||
	    add_bytes(x, h->refcount_table_off,
		      (uint64_t)h->refcount_table_clusters << h->cluster_bits,
		      OVERLAP_REFCOUNT_TABLE, e) < 0 ||
	    refcount_blocks_add(x, e) < 0 || l2_tables_add(x, e) < 0 || snapshots_add(x, e) < 0)
		return -1;
	if (h->has_bitmaps_ext && (h->autoclear_features & AUTOCLEAR_BITMAPS) &&
	    add_bytes(x, h->bitmaps.directory_off, h->bitmaps.directory_len, OVERLAP_BITMAPS,
		      e) < 0)
		return -1;
	return h->has_crypto_ext ? file_bytes_add(x, h->crypto.header_off, h->crypto.header_len,
						  OVERLAP_CRYPTO_HEADER, e)
				 : 0;
}

int txn_release_guest(struct txn *x, uint64_t host, uint64_t len, uint64_t times,
		      struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;
	uint64_t first = host >> bits, nr = ((host + len - 1) >> bits) - first + 1, cluster;
	enum overlap_what what = overlap_find(&x->overlap, first, nr, &cluster);

	if (txn_alive(x, e) < 0)
		return -1;
	if (what == OVERLAP_NONE)
		return txn_release(x, host, len, times, e);
	err_set(e, ERR_CORRUPT,
		"guest data at host offset %#" PRIx64 " is given up, but the %s lies there",
		cluster << bits, overlap_text(what));
	return txn_mark_corrupt(x, e);
}

int txn_counts_apart(const struct txn *x, const struct counts *c, struct err *e)
{
	enum overlap_what what, found = OVERLAP_NONE;
	uint64_t cluster, lowest = UINT64_MAX;

	for (size_t at = 0; overlap_next(&x->overlap, &at, &cluster, &what);)
		if (what != OVERLAP_L2_TABLE && cluster < lowest && counts_get(c, cluster)) {
			found = what;
			lowest = cluster;
		}
	if (found == OVERLAP_NONE)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "guest data lies on the %s at host offset %#" PRIx64 "; run check -r all",
		       overlap_text(found), lowest << x->img.geom->cluster_bits);
}

int txn_guest_check(struct txn *x, uint64_t host, uint64_t nr, struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;
	uint64_t cluster;
	enum overlap_what what = overlap_find(&x->overlap, host >> bits, nr, &cluster);

	if (txn_alive(x, e) < 0)
		return -1;
	if (what == OVERLAP_NONE)
		return 0;
	err_set(e, ERR_CORRUPT, "guest data at host offset %#" PRIx64 " would overwrite the %s",
		cluster << bits, overlap_text(what));
	return txn_mark_corrupt(x, e);
}

bool txn_is_metadata(const struct txn *x, uint64_t host, uint64_t nr)
{
	uint64_t cluster;

	return overlap_find(&x->overlap, host >> x->img.geom->cluster_bits, nr, &cluster) !=
	       OVERLAP_NONE;
}

int txn_guard_bitmaps(struct txn *x, uint64_t host, uint64_t len, struct err *e)
{
	return add_bytes(x, host, len, OVERLAP_BITMAPS, e);
}
