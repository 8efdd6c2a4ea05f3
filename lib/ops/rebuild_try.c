/* Which headers are proposed: by layout, L1 table, LUKS header, and what is left of the old
 * one. */
#include "ops/rebuild_search.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Whether a proposal without refcounts maps less than the best at most: see
 * rebuild_is_better(). */
static bool is_hopeless(const struct rebuild_search *s, const struct rebuild_layout *l,
			const struct rebuild_l1 *l1)
{
	return !l->table_clusters && s->best->bytes && !s->best->intact &&
	       !s->best->header.refcount_table_clusters &&
	       (uint64_t)l1->used << geom_l2_span_bits(&l->geom) <
		       rebuild_data_bytes(s->best);
}

/* Where the L1 table is all that was lost, the tables of the disk may be put back: that
 * leads to the disk as it was, and the state of a snapshot does not. */
static bool is_settled(const struct rebuild_search *s)
{
	return s->best->bytes && rebuild_only_l1_is_lost(s->best);
}

/* With each LUKS header that was found, and as it is. */
static int crypt_try(struct rebuild_search *s, struct rebuild_layout *l,
		     const struct rebuild *r, struct err *e)
{
	struct crypto_ext list[LUKS_MAX];
	struct rebuild tried;
	size_t nr;

	rebuild_luks(&s->scan, l, list, &nr);
	for (size_t i = 0; i < nr && !search_is_clean(s->best); i++) {
		if (r->header.has_crypto_ext &&
		    r->header.crypto.header_off == list[i].header_off &&
		    r->header.crypto.header_len == list[i].header_len)
			continue;
		tried = *r;
		rebuild_crypt_set(&tried, &list[i]);
		if (search_encode(s, &tried, e) < 0)
			return -1;
	}
	tried = *r;
	return search_is_clean(s->best) ? 0 : search_encode(s, &tried, e);
}

/* One L1 table: with what the old header says, and without. */
static int l1_try(struct rebuild_search *s, struct rebuild_layout *l,
		  const struct rebuild_l1 *l1, const struct rebuild_snapshots *t,
		  struct err *e)
{
	AUTO_FREE uint8_t *old = malloc(s->old_n);
	struct rebuild r = { 0 };

	if (!old)
		return err_nomem(e);
	memcpy(old, s->old, s->old_n);
	if (!rebuild_propose(&s->scan, &r, s->options, l, l1, t))
		return 0;
	if (rebuild_is_zstd(&s->scan, l, l1)) {
		r.header.version = 3;
		r.header.compression_type = COMPRESSION_ZSTD;
		r.header.incompatible_features |= INCOMPATIBLE_COMPRESSION;
	}
	rebuild_text_left(s->old, MIN(s->old_n, geom_cluster_size(&l->geom)), r.text_left,
			  sizeof r.text_left);
	struct rebuild merged = r;

	if (rebuild_merge_old(&s->scan, &merged, l1, old, s->old_n) &&
	    crypt_try(s, l, &merged, e) < 0)
		return -1;
	return search_is_clean(s->best) ? 0 : crypt_try(s, l, &r, e);
}

/* The disk's own first, then a new one if those are none, and copies of snapshots' at last.
 */
static int l1s_try(struct rebuild_search *s, struct rebuild_layout *l,
		   const struct rebuild_l1 *list, size_t nr,
		   const struct rebuild_snapshots *t, struct err *e)
{
	struct rebuild_l1 empty;
	size_t i = 0;

	for (; i < nr && !list[i].is_snapshot && !search_is_clean(s->best); i++)
		if (!is_hopeless(s, l, &list[i]) && l1_try(s, l, &list[i], t, e) < 0)
			return -1;
	if ((!s->best->bytes || !rebuild_gain(s->best)) && !search_is_clean(s->best) &&
	    rebuild_l1_new(&s->scan, l, &empty) && l1_try(s, l, &empty, t, e) < 0)
		return -1;
	for (; i < nr && !search_is_clean(s->best) && !is_settled(s); i++)
		if (!is_hopeless(s, l, &list[i]) && l1_try(s, l, &list[i], t, e) < 0)
			return -1;
	return 0;
}

static int tables_try(struct rebuild_search *s, struct rebuild_layout *l, struct err *e)
{
	struct rebuild_snapshots t = { 0 };
	struct rebuild_l1 list[L1_MAX];
	size_t nr = 0;
	int ret = -1;

	geom_derive(&l->geom);
	s->counted = 0;
	if (rebuild_snapshots(&s->scan, l, &t, e) == 0 &&
	    rebuild_l1_tables(&s->scan, l, &t, list, &nr, e) == 0)
		ret = l1s_try(s, l, list, nr, &t, e);
	free(t.l1_offs);
	return ret;
}

static int layout_try(struct rebuild_search *s, struct rebuild_layout *l, struct err *e)
{
	int ret = rebuild_layout_load(&s->scan, l, e);

	if (ret == 0)
		ret = tables_try(s, l, e);
	if (ret == 0 && !search_is_enough(s) &&
	    l->geom.cluster_bits >= CLUSTER_BITS_MIN_EXTENDED) {
		l->geom.subclusters = true;
		ret = tables_try(s, l, e);
	}
	rebuild_layout_fini(l);
	return ret;
}

int search_all(struct rebuild_search *s, struct err *e)
{
	struct rebuild_layout list[LAYOUTS_MAX];
	size_t nr;

	s->tried = 0;
	if (rebuild_layouts(&s->scan, list, &nr, e) < 0)
		return -1;
	for (size_t i = 0; i < nr && !search_is_enough(s); i++)
		if (layout_try(s, &list[i], e) < 0)
			return -1;
	/* What looks like refcounts is none if most of what is mapped contradicts it. */
	if (!nr || !list[0].table_clusters || is_settled(s) ||
	    (s->best->bytes &&
	     rebuild_errors(s->best) <= s->best->check.allocated_clusters / 8))
		return 0;
	rebuild_layouts_guess(&s->scan, list, &nr);
	for (size_t i = 0; i < nr && !search_is_enough(s); i++)
		if (layout_try(s, &list[i], e) < 0)
			return -1;
	return 0;
}
