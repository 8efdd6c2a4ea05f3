/* A header that may be the image's is judged by the check of the image that would have it.
 */
#include "ops/rebuild_search.h"

#include <stdlib.h>
#include <string.h>

#include "io/file_plan.h"

#define TRIES_MAX 64
/* Clusters that the checks in one layout may count in all, beyond the first check. */
#define CLUSTERS_MAX (UINT64_C(1) << 27)

bool search_is_clean(const struct rebuild *r)
{
	return r->bytes && !rebuild_errors(r) && !r->check.leaks;
}

int search_check(struct rebuild_search *s, const struct rebuild *r,
		 struct check_result *result, struct orphans *orphans, bool *opens,
		 struct err *e)
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
	struct image *img = image_open(
		f, NULL, IMAGE_CHECK | IMAGE_NO_LOCK | IMAGE_NO_DATA_FILE, NULL, &why);

	if (img && check_image(img, &o, result, &why) == 0)
		*opens = true;
	image_close(img);
	if (why.code != ERR_STOPPED && why.code != ERR_NOMEM)
		return 0;
	*e = why;
	return -1;
}

/* Where clusters are counted that it does not lead to, an empty L1 table that was found may
 * be a cluster of anything: the disk gets a new one, if there are tables for it. */
static bool is_stray(const struct rebuild *r)
{
	return !r->intact && !r->l1_used &&
	       (r->l1_is_new ? !r->lost_clusters : r->check.leaks);
}

/* Without refcounts any table of pointers is one of something: it must explain some of what
 * the file holds, or be confirmed by something else. */
static bool is_chance(const struct rebuild_search *s, const struct rebuild *r)
{
	return !r->intact && !r->header.refcount_table_clusters &&
	       !r->header.nb_snapshots && !r->header.has_crypto_ext &&
	       rebuild_gain(r) < s->scan.filled / 16;
}

int search_judge(struct rebuild_search *s, struct rebuild *r, struct err *e)
{
	uint64_t clusters = s->scan.size >> r->header.cluster_bits;
	bool opens = false, tries = s->tried < TRIES_MAX &&
				    (!s->counted || s->counted + clusters <= CLUSTERS_MAX);
	bool empty = r->l1_is_new && !r->l1_copied_from;
	struct orphans orphans = { 0 };
	int ret = tries ? search_check(s, r, &r->check, empty ? &orphans : NULL, &opens, e)
			: 0;

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

bool search_is_enough(const struct rebuild_search *s)
{
	const struct rebuild *r = s->best;

	return search_is_clean(r) ||
	       (r->bytes && !r->intact && !r->header.refcount_table_clusters &&
		rebuild_gain(r) >= s->scan.size / 2);
}

int search_encode(struct rebuild_search *s, struct rebuild *r, struct err *e)
{
	struct err why = ERR_INIT;

	r->len = (size_t)1 << r->header.cluster_bits;
	r->bytes = malloc(r->len);
	if (!r->bytes)
		return err_nomem(e);
	if (header_encode(r->bytes, &r->header, &why) == 0 &&
	    header_decode(r->bytes, r->len, &r->header, &why) == 0)
		return search_judge(s, r, e);
	rebuild_fini(r);
	return 0;
}
