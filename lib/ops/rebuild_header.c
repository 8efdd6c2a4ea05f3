#include "ops/rebuild_header.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ops/rebuild_search.h"

/* Tables mostly lie near the start. What is there is tried before all is read. */
#define SCAN_FIRST (UINT64_C(64) << 20)

void rebuild_fini(struct rebuild *r)
{
	free(r->bytes);
	r->bytes = NULL;
}

/* The header as it is, if it can be read. */
static int intact_try(struct rebuild_search *s, struct err *e)
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
		return search_judge(s, &r, e);
	rebuild_fini(&r);
	return 0;
}

/* As large as the tables that nothing leads to need it, too, where nothing tells the size. */
static int size_raise(struct rebuild_search *s, struct err *e)
{
	struct rebuild *best = s->best, larger = *best;
	struct orphans orphans = { 0 };
	struct check_result check;
	bool opens;
	int ret = search_check(s, best, &check, &orphans, &opens, e);

	if (ret == 0 && opens && rebuild_size_raise(&larger, orphans.nr)) {
		larger.bytes = malloc(larger.len);
		if (!larger.bytes)
			ret = err_nomem(e);
		else if (header_encode(larger.bytes, &larger.header, e) < 0 ||
			 header_decode(larger.bytes, larger.len, &larger.header, e) < 0 ||
			 search_check(s, &larger, &larger.check, NULL, &opens, e) < 0)
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

static int search_run(struct rebuild_search *s, struct err *e)
{
	struct rebuild *best = s->best;

	if (intact_try(s, e) < 0 || search_ways(s, e) < 0)
		return -1;
	/* Lost space alone says nothing against a header that can be read. */
	if (best->bytes && !rebuild_errors(best) && !rebuild_luks_is_cut(&s->scan, &best->header))
		return 0;
	if (rebuild_scan(&s->scan, SCAN_FIRST, e) < 0 || search_all(s, e) < 0)
		return -1;
	if (!search_is_clean(best) && s->scan.done < s->scan.size &&
	    (rebuild_scan(&s->scan, UINT64_MAX, e) < 0 || search_all(s, e) < 0))
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

static int search_begin(struct rebuild_search *s, struct file *f, struct err *e)
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
	struct rebuild_search s = { .spec = spec, .options = o, .best = r };
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
