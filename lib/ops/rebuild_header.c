#include "ops/rebuild_header.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "io/file_plan.h"
#include "ops/orphans.h"
#include "ops/rebuild_internal.h"

/* Tables mostly lie near the start. What is there is tried before all is read. */
#define SCAN_FIRST (UINT64_C(64) << 20)
#define TRIES_MAX  64
/* Clusters that the checks in one layout may count in all, beyond the first check. */
#define CLUSTERS_MAX (UINT64_C(1) << 27)

struct search {
	const struct spec *spec;
	const struct rebuild_options *options;
	struct rebuild_scan scan;
	uint8_t *old; /* the beginning of the file */
	size_t old_n;
	struct rebuild *best; /* bytes NULL: none yet */
	unsigned tried;
	uint64_t counted; /* clusters, in this layout */
};

void rebuild_fini(struct rebuild *r)
{
	free(r->bytes);
	r->bytes = NULL;
}

/* --- judging --- */

static bool is_clean(const struct rebuild *r)
{
	return r->bytes && !rebuild_errors(r) && !r->check.leaks;
}

/* The check of the image as it would be. *opens: whether it can be looked at. */
static int header_try(struct search *s, const struct rebuild *r, struct check_result *result,
		      struct orphans *orphans, bool *opens, struct err *e)
{
	struct check_options o = { .watch = s->options->watch, .orphans = orphans };
	struct file *f = file_open(s->spec->path, spec_file_flags(s->spec), e);
	struct err why = ERR_INIT;

	*opens = false;
	if (f)
		f = file_plan_new(f, e);
	if (!f)
		return -1;
	if (rebuild_l1_write(s->scan.file, f, r, e) < 0 ||
	    file_write_at(f, 0, r->bytes, r->len, e) < 0) {
		file_drop(f);
		return -1;
	}
	struct image *img = image_open(f, NULL, IMAGE_CHECK | IMAGE_NO_LOCK | IMAGE_NO_DATA_FILE,
				       NULL, &why);

	if (img && check_image(img, &o, result, &why) == 0)
		*opens = true;
	image_close(img);
	if (why.code != ERR_STOPPED && why.code != ERR_NOMEM)
		return 0;
	*e = why;
	return -1;
}

/* Where clusters are counted that it does not lead to, an empty L1 table that was found may be a cluster
 * of anything: the disk gets a new one, if there are tables for it. */
static bool is_stray(const struct rebuild *r)
{
	return !r->intact && !r->l1_used && (r->l1_is_new ? !r->lost_clusters : r->check.leaks);
}

/* Without refcounts any table of pointers is one of something: it must explain some of what the file
 * holds, or be confirmed by something else. */
static bool is_chance(const struct search *s, const struct rebuild *r)
{
	return !r->intact && !r->header.refcount_table_clusters && !r->header.nb_snapshots &&
	       !r->header.has_crypto_ext && rebuild_gain(r) < s->scan.filled / 16;
}

/* Takes r, with its bytes, if it is the best so far. */
static int rebuild_judge(struct search *s, struct rebuild *r, struct err *e)
{
	uint64_t clusters = s->scan.size >> r->header.cluster_bits;
	bool opens = false, tries = s->tried < TRIES_MAX &&
				    (!s->counted || s->counted + clusters <= CLUSTERS_MAX);
	bool empty = r->l1_is_new && !r->l1_copied_from;
	struct orphans orphans = { 0 };
	int ret = tries ? header_try(s, r, &r->check, empty ? &orphans : NULL, &opens, e) : 0;

	for (size_t i = 0; i < orphans.nr; i++)
		r->lost_clusters += orphans.list[i].used;
	orphans_fini(&orphans);

	s->counted += tries ? clusters : 0;
	s->tried += tries;
	if (ret < 0 || !opens || is_stray(r) || is_chance(s, r)) {
		rebuild_fini(r);
		return ret;
	}
	if (s->best->bytes && !rebuild_is_better(r, s->best)) {
		s->best->rivals += !rebuild_is_better(s->best, r) &&
				   (r->len != s->best->len ||
				    memcmp(r->bytes, s->best->bytes, r->len) != 0);
		rebuild_fini(r);
		return 0;
	}
	rebuild_fini(s->best);
	*s->best = *r;
	return 0;
}

/* Nothing that maps more of the file is left to be found, without refcounts at least. */
static bool is_enough(const struct search *s)
{
	const struct rebuild *r = s->best;

	return is_clean(r) || (r->bytes && !r->intact && !r->header.refcount_table_clusters &&
			       rebuild_gain(r) >= s->scan.size / 2);
}

/* Makes the bytes of a header, and judges them. */
static int rebuild_encode(struct search *s, struct rebuild *r, struct err *e)
{
	struct err why = ERR_INIT;

	r->len = (size_t)1 << r->header.cluster_bits;
	r->bytes = malloc(r->len);
	if (!r->bytes)
		return err_nomem(e);
	if (header_encode(r->bytes, &r->header, &why) == 0 &&
	    header_decode(r->bytes, r->len, &r->header, &why) == 0)
		return rebuild_judge(s, r, e);
	rebuild_fini(r);
	return 0;
}

/* --- proposals --- */

/* Whether a proposal without refcounts maps less than the best at most: see rebuild_is_better(). */
static bool is_hopeless(const struct search *s, const struct rebuild_layout *l,
			const struct rebuild_l1 *l1)
{
	return !l->table_clusters && s->best->bytes && !s->best->intact &&
	       !s->best->header.refcount_table_clusters &&
	       (uint64_t)l1->used << geom_l2_span_bits(&l->geom) < rebuild_data_bytes(s->best);
}

/* Where the L1 table is all that was lost, the tables of the disk may be put back: that leads to the
 * disk as it was, and the state of a snapshot does not. */
static bool is_settled(const struct search *s)
{
	return s->best->bytes && rebuild_only_l1_is_lost(s->best);
}

/* With each LUKS header that was found, and as it is. */
static int crypt_try(struct search *s, struct rebuild_layout *l, const struct rebuild *r,
		     struct err *e)
{
	struct crypto_ext list[LUKS_MAX];
	struct rebuild tried;
	size_t nr;

	rebuild_luks(&s->scan, l, list, &nr);
	for (size_t i = 0; i < nr && !is_clean(s->best); i++) {
		if (r->header.has_crypto_ext && r->header.crypto.header_off == list[i].header_off &&
		    r->header.crypto.header_len == list[i].header_len)
			continue;
		tried = *r;
		rebuild_crypt_set(&tried, &list[i]);
		if (rebuild_encode(s, &tried, e) < 0)
			return -1;
	}
	tried = *r;
	return is_clean(s->best) ? 0 : rebuild_encode(s, &tried, e);
}

/* One L1 table: with what the old header says, and without. */
static int l1_try(struct search *s, struct rebuild_layout *l, const struct rebuild_l1 *l1,
		  const struct rebuild_snapshots *t, struct err *e)
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
	return is_clean(s->best) ? 0 : crypt_try(s, l, &r, e);
}

/* The disk's own first, then a new one if those are none, and copies of snapshots' at last. */
static int l1s_try(struct search *s, struct rebuild_layout *l, const struct rebuild_l1 *list, size_t nr,
		   const struct rebuild_snapshots *t, struct err *e)
{
	struct rebuild_l1 empty;
	size_t i = 0;

	for (; i < nr && !list[i].is_snapshot && !is_clean(s->best); i++)
		if (!is_hopeless(s, l, &list[i]) && l1_try(s, l, &list[i], t, e) < 0)
			return -1;
	if ((!s->best->bytes || !rebuild_gain(s->best)) && !is_clean(s->best) &&
	    rebuild_l1_new(&s->scan, l, &empty) && l1_try(s, l, &empty, t, e) < 0)
		return -1;
	for (; i < nr && !is_clean(s->best) && !is_settled(s); i++)
		if (!is_hopeless(s, l, &list[i]) && l1_try(s, l, &list[i], t, e) < 0)
			return -1;
	return 0;
}

static int tables_try(struct search *s, struct rebuild_layout *l, struct err *e)
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

static int layout_try(struct search *s, struct rebuild_layout *l, struct err *e)
{
	int ret = rebuild_layout_load(&s->scan, l, e);

	if (ret == 0)
		ret = tables_try(s, l, e);
	if (ret == 0 && !is_enough(s) && l->geom.cluster_bits >= CLUSTER_BITS_MIN_EXTENDED) {
		l->geom.subclusters = true;
		ret = tables_try(s, l, e);
	}
	rebuild_layout_fini(l);
	return ret;
}

static int all_try(struct search *s, struct err *e)
{
	struct rebuild_layout list[LAYOUTS_MAX];
	size_t nr;

	s->tried = 0;
	if (rebuild_layouts(&s->scan, list, &nr, e) < 0)
		return -1;
	for (size_t i = 0; i < nr && !is_enough(s); i++)
		if (layout_try(s, &list[i], e) < 0)
			return -1;
	/* What looks like refcounts is none if most of what is mapped contradicts it. */
	if (!nr || !list[0].table_clusters || is_settled(s) ||
	    (s->best->bytes && rebuild_errors(s->best) <= s->best->check.allocated_clusters / 8))
		return 0;
	rebuild_layouts_guess(&s->scan, list, &nr);
	for (size_t i = 0; i < nr && !is_enough(s); i++)
		if (layout_try(s, &list[i], e) < 0)
			return -1;
	return 0;
}

/* The header as it is, if it can be read. */
static int intact_try(struct search *s, struct err *e)
{
	struct rebuild r = { .intact = true, .room_end = UINT64_MAX };
	struct err why = ERR_INIT;
	uint64_t size;

	if (header_probe(s->old, s->old_n, &size, &why) < 0)
		return 0;
	r.len = (size_t)MIN(size, s->old_n);
	r.bytes = malloc(r.len);
	if (!r.bytes)
		return err_nomem(e);
	memcpy(r.bytes, s->old, r.len);
	if (header_decode(r.bytes, r.len, &r.header, &why) == 0)
		return rebuild_judge(s, &r, e);
	rebuild_fini(&r);
	return 0;
}

/* As large as the tables that nothing leads to need it, too, where nothing tells the size. */
static int size_raise(struct search *s, struct err *e)
{
	struct rebuild *best = s->best, larger = *best;
	struct orphans orphans = { 0 };
	struct check_result check;
	bool opens;
	int ret = header_try(s, best, &check, &orphans, &opens, e);

	if (ret == 0 && opens && rebuild_size_raise(&larger, orphans.nr)) {
		larger.bytes = malloc(larger.len);
		if (!larger.bytes)
			ret = err_nomem(e);
		else if (header_encode(larger.bytes, &larger.header, e) < 0 ||
			 header_decode(larger.bytes, larger.len, &larger.header, e) < 0 ||
			 header_try(s, &larger, &larger.check, NULL, &opens, e) < 0)
			ret = -1;
		if (ret == 0 && opens) {
			rebuild_fini(best);
			*best = larger;
		} else {
			rebuild_fini(&larger);
		}
	}
	orphans_fini(&orphans);
	return ret;
}

static int search_run(struct search *s, struct err *e)
{
	struct rebuild *best = s->best;

	if (intact_try(s, e) < 0)
		return -1;
	/* Lost space alone says nothing against a header that can be read. */
	if (best->bytes && !rebuild_errors(best) && !rebuild_luks_is_cut(&s->scan, &best->header))
		return 0;
	if (rebuild_scan(&s->scan, SCAN_FIRST, e) < 0 || all_try(s, e) < 0)
		return -1;
	if (!is_clean(best) && s->scan.done < s->scan.size &&
	    (rebuild_scan(&s->scan, UINT64_MAX, e) < 0 || all_try(s, e) < 0))
		return -1;
	best->tried = s->tried;
	if (!best->bytes)
		return err_set(e, ERR_NOTFOUND, "no tables were found that a header could lead to");
	if (best->misfit)
		return err_set(e, ERR_INVALID,
			       "the disk can't have this size: it is mapped up to %llu, and its L1 table has room for %llu bytes",
			       (unsigned long long)best->mapped_end,
			       (unsigned long long)best->room_end);
	return best->check.leaks && best->source[REBUILD_SIZE] == REBUILD_ASSUMED && !best->intact
		       ? size_raise(s, e)
		       : 0;
}

static int search_begin(struct search *s, struct file *f, struct err *e)
{
	s->scan.file = f;
	s->scan.size = file_size(f) <= FILE_OFFSET_MAX - SECTOR_SIZE
			       ? align_up(file_size(f), SECTOR_SIZE)
			       : align_down(FILE_OFFSET_MAX, SECTOR_SIZE);
	s->scan.watch = s->options->watch;
	s->old_n = (size_t)CLUSTER_SIZE_MAX;
	s->old = malloc(s->old_n);
	if (!s->old)
		return err_nomem(e);
	return file_read_padded(f, 0, s->old, s->old_n, NULL, e);
}

/* --- all of it --- */

static struct file *file_take(const struct spec *s, const struct rebuild_options *o,
			      const struct listener *l, struct err *e)
{
	unsigned uses = PERMISSION_READ;
	struct file *f = file_open(s->path, spec_file_flags(s) | (o->apply ? FILE_WRITE | o->write_flags : 0), e);
	char shown[256];

	if (o->apply)
		uses |= PERMISSION_WRITE | PERMISSION_RESIZE;
	if (f && file_lock(f, uses,
			   s->force_share ? ~0u : PERMISSION_READ | PERMISSION_WRITE_UNCHANGED,
			   s->locking, l, e) == 0)
		return f;
	file_drop(f);
	text_escape(s->path, strlen(s->path), shown, sizeof shown);
	err_ctx(e, "Could not open '%s'", shown);
	return NULL;
}

int rebuild_header(const struct spec *spec, const struct rebuild_options *o,
		   const struct listener *l, struct rebuild *r, struct err *e)
{
	struct search s = { .spec = spec, .options = o, .best = r };
	struct file *f;
	int ret = -1;

	*r = (struct rebuild){ 0 };
	f = file_take(spec, o, l, e);
	if (!f)
		return -1;
	if (search_begin(&s, f, e) < 0 || search_run(&s, e) < 0)
		goto out;
	if (r->intact && o->has_size && o->size != r->header.size) {
		err_set(e, ERR_INVALID,
			"the header is sound, and the disk has %llu bytes: a size is for one that is lost",
			(unsigned long long)r->header.size);
		goto out;
	}
	r->trust = rebuild_trust_of(r);
	ret = o->apply && !r->intact ? rebuild_apply(&f, o, r, e) : 0;
out:
	rebuild_scan_fini(&s.scan);
	free(s.old);
	if (file_close(f, e) < 0)
		ret = -1;
	return ret;
}
