/* Clusters that are marked as zeros, for a version that has no such mark (16). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "image/writer_internal.h"
#include "meta/tree.h"
#include "meta/walk.h"

/* References to one cluster of zeros, unless a table has more owners. Each snapshot that is taken
 * later on adds as many again, and has to find room for them in the width of the count. */
#define SHARED_MOST 64

struct expand {
	struct image_writer *w;
	const struct geom *geom;
	struct zero_marks *count; /* only count; else NULL */
	uint64_t end;		  /* of the disk: what it alone has behind this will be gone */
	bool backing;		  /* what is not there shows the backing file */
	uint8_t *table;		  /* room for one */
	uint8_t *zeros;		  /* a cluster */
	uint64_t host, refs;	  /* the cluster of zeros in use, and its references; 0: none */
	uint64_t kept, kept_len;  /* clusters behind marks that are to hold zeros; not written yet */
};

static int on_fault(void *arg, const struct walk_fault *f, struct err *e)
{
	return err_set(e, ERR_CORRUPT,
		       "the pointer at %#llx (%#llx) can't be followed; run check -r all",
		       (unsigned long long)f->place, (unsigned long long)f->value);
}

/* A new cluster that reads as zeros at `guest`. */
static int zeros_take(struct expand *x, uint64_t guest, uint64_t *host, struct err *e)
{
	uint64_t size = geom_cluster_size(x->geom), nr;

	if (txn_take(x->w->txn, 1, host, &nr, e) < 0)
		return -1;
	if (!image_is_encrypted(x->w->img))
		return file_zero(x->w->img->file, *host, size, FILE_ZERO_PUNCH, e);
	return writer_write_host(x->w, guest, *host, x->zeros, (size_t)size, e);
}

/* A cluster of its own: with legacy AES zeros look otherwise at each place of the disk (7.1). Those who
 * share the table read it at the same place. */
static int zeros_alone(struct expand *x, uint64_t guest, uint64_t times, uint64_t *host,
		       struct err *e)
{
	if (zeros_take(x, guest, host, e) < 0)
		return -1;
	return times > 1 ? txn_share(x->w->txn, *host, times - 1, e) : 0;
}

/* A place that reads as zeros, for as many more references. */
static int zeros_place(struct expand *x, uint64_t guest, uint64_t times, uint64_t *host,
		       struct err *e)
{
	uint64_t more = times;

	if (x->w->img->header.crypt_method == CRYPT_AES)
		return zeros_alone(x, guest, times, host, e);
	if (!x->refs || x->refs + times > SHARED_MOST) {
		if (zeros_take(x, guest, &x->host, e) < 0)
			return -1;
		x->refs = 0;
		more--; /* it was taken for the first of them */
	}
	if (more && txn_share(x->w->txn, x->host, more, e) < 0)
		return -1;
	x->refs += times;
	*host = x->host;
	return 0;
}

/* Clusters that adjoin become zeros in one go. */
static int kept_flush(struct expand *x, struct err *e)
{
	uint64_t len = x->kept_len;

	x->kept_len = 0;
	return len ? file_zero(x->w->img->file, x->kept, len, FILE_ZERO_KEEP, e) : 0;
}

/* The cluster at `host` holds zeros before any entry says that it is to be read: the commit sees to
 * that. Until then the mark does not care what is in it. */
static int kept_zero(struct expand *x, uint64_t guest, uint64_t host, struct err *e)
{
	uint64_t size = geom_cluster_size(x->geom);

	if (image_is_encrypted(x->w->img))
		return writer_write_host(x->w, guest, host, x->zeros, (size_t)size, e);
	if (x->kept_len && x->kept + x->kept_len == host) {
		x->kept_len += size;
		return 0;
	}
	if (kept_flush(x, e) < 0)
		return -1;
	x->kept = host;
	x->kept_len = size;
	return 0;
}

/* The entry at `p`, which is marked. A cluster that nothing but this entry has stays its own (16.3),
 * so that preallocation lasts; one that another entry reads keeps what is in it. */
static int entry_replace(struct expand *x, const struct walk_l2_table *t, uint64_t guest,
			 const struct l2_entry *entry, uint8_t *p, struct err *e)
{
	uint64_t host = 0, count = 0;

	if (entry->has_host && txn_refcount(x->w->txn, entry->host, &count, e) < 0)
		return -1;
	if (entry->has_host && count == t->times) {
		be64_put(p, entry->host);
		return kept_zero(x, guest, entry->host, e);
	}
	if (x->backing && zeros_place(x, guest, t->times, &host, e) < 0)
		return -1;
	be64_put(p, host);
	return entry->has_host ? txn_release_guest(x->w->txn, entry->host,
						   geom_cluster_size(x->geom), t->times, e)
			       : 0;
}

static int table_replace(struct expand *x, const struct walk_l2_table *t, uint64_t first,
			 uint64_t end, struct err *e)
{
	uint64_t guest = (uint64_t)t->l1_idx << geom_l2_span_bits(x->geom);

	memcpy(x->table, t->bytes, (size_t)geom_cluster_size(x->geom));
	for (uint64_t i = first; i < end; i++) {
		struct l2_entry entry = l2_entry_at(x->geom, t->bytes, (uint32_t)i);

		if (!entry.packed && entry.zero &&
		    entry_replace(x, t, guest + (i << x->geom->cluster_bits), &entry,
				  x->table + i * 8, e) < 0)
			return -1;
	}
	if (kept_flush(x, e) < 0)
		return -1;
	if (table_cache_edit(x->w->img->tables, t->host + first * 8, x->table + first * 8,
			     (size_t)(end - first) * 8, e) < 0)
		return -1;
	return txn_is_full(x->w->txn) ? txn_commit(x->w->txn, e) : 0;
}

/* What is behind a mark is given up later on: it has to be there, counted, and no metadata. */
static int mark_check(struct expand *x, const struct walk_l2_table *t, uint64_t i,
		      const struct l2_entry *entry, struct err *e)
{
	bool bad = l2_entry_unreadable(x->geom, entry);
	uint64_t count = 0;

	if (x->geom->version < 3)
		return err_set(e, ERR_CORRUPT,
			       "entry %" PRIu64 " of the L2 table at %#" PRIx64
			       " has a flag that version 2 does not know; run check -r all",
			       i, t->host);
	if (!bad && entry->has_host) {
		bad = !table_cache_reaches(x->w->img->tables, entry->host) ||
		      txn_is_metadata(x->w->txn, entry->host, 1);
		if (!bad && txn_refcount(x->w->txn, entry->host, &count, e) < 0)
			return -1;
		bad |= count < t->times;
	}
	return bad ? err_set(e, ERR_CORRUPT,
			     "entry %" PRIu64 " of the L2 table at %#" PRIx64
			     " leads to %#" PRIx64 ", which it can't own; run check -r all",
			     i, t->host, entry->host)
		   : 0;
}

/* Who makes the disk shorter drops what its own tables have behind the end. */
static bool will_be_gone(const struct expand *x, const struct walk_l2_table *t, uint64_t i)
{
	uint64_t guest = ((uint64_t)t->l1_idx << geom_l2_span_bits(x->geom)) +
			 (i << x->geom->cluster_bits);

	return t->times == 1 && t->active_times == 1 && guest >= x->end;
}

static int on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct expand *x = arg;
	uint64_t nr = geom_l2_entries(x->geom), first = nr, end = 0;

	for (uint64_t i = 0; i < nr; i++) {
		struct l2_entry entry = l2_entry_at(x->geom, t->bytes, (uint32_t)i);

		if (x->count) {
			x->count->packed += entry.packed && !will_be_gone(x, t, i);
			if (entry.packed || !entry.zero)
				continue;
			x->count->marks++;
			if (mark_check(x, t, i, &entry, e) < 0)
				return -1;
		} else if (!entry.packed && entry.zero) {
			first = MIN(first, i);
			end = i + 1;
		}
	}
	return first < end ? table_replace(x, t, first, end, e) : 0;
}

static int trees_walk(struct expand *x, const struct watch *watch, struct err *e)
{
	static const struct walk_ops ops = { .fault = on_fault, .l2_table = on_l2_table };
	const struct image *img = x->w->img;
	struct walk_source src = { img->file, &img->header, &img->geom };
	struct walk *walk = walk_new(&src, &ops, x, watch, e);
	int ret = -1;

	if (walk && walk_metadata(walk, e) == 0)
		ret = walk_trees(walk, e);
	walk_free(walk);
	return ret;
}

int zero_marks_count(struct image_writer *w, uint64_t size, const struct watch *watch,
		     struct zero_marks *z, struct err *e)
{
	struct expand x = { .w = w, .geom = writer_geom(w), .count = z, .end = UINT64_MAX };

	if (size < w->img->header.size)
		x.end = size; /* of a cluster that begins in front of it a part stays */

	*z = (struct zero_marks){ 0 };
	return trees_walk(&x, watch, e);
}

/* While claims may be missing the dirty bit says so. */
int zero_marks_expand(struct image_writer *w, const struct watch *watch, struct err *e)
{
	size_t size = (size_t)geom_cluster_size(writer_geom(w));
	AUTO_FREE uint8_t *table = malloc(size);
	AUTO_FREE uint8_t *zeros = calloc(1, size);
	struct expand x = { .w = w, .geom = writer_geom(w), .table = table, .zeros = zeros,
			    .backing = w->img->header.backing_name.n > 0 };
	struct tree active = { w->img->header.l1_table_off, w->img->header.l1_size };
	struct watch_part marks, claims;

	if (!table || !zeros)
		return err_nomem(e);
	if (txn_withdraw(w->txn, e) < 0 ||
	    trees_walk(&x, watch_part_of(&marks, watch, 0, 1, 2), e) < 0 ||
	    txn_finish(w->txn, e) < 0 ||
	    tree_claims(w->txn, &active, TREE_CLAIMS_SET, watch_part_of(&claims, watch, 1, 2, 2),
			e) < 0)
		return -1;
	return txn_claimed(w->txn, e);
}
