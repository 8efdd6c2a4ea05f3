#include "meta/walk_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/vec.h"
#include "format/l1_entry.h"

struct walk *walk_new(const struct walk_source *s, const struct walk_ops *ops, void *arg,
		      const struct watch *watch, struct err *e)
{
	struct walk *w = calloc(1, sizeof *w);

	if (!w) {
		err_nomem(e);
		return NULL;
	}
	w->src = *s;
	w->ops = ops;
	w->arg = arg;
	w->watch = watch;
	/* The file may end inside its last cluster (4.4); what begins behind that is lost. */
	w->end = align_up(file_size(s->file), geom_cluster_size(s->geom));
	w->refs_max = WALK_REFS_MAX;
	w->holes = hole_map_over(s->file);
	w->buf_len = MAX(WALK_BUFFER, geom_cluster_size(s->geom));
	w->buf = malloc(w->buf_len);
	if (!w->buf) {
		err_nomem(e);
		walk_free(w);
		return NULL;
	}
	return w;
}

void walk_free(struct walk *w)
{
	if (!w)
		return;
	free(w->snapshots);
	free(w->trees);
	free(w->roots);
	free(w->refs);
	free(w->buf);
	free(w);
}

const struct walk_snapshot *walk_snapshots(const struct walk *w, uint32_t *nr)
{
	*nr = w->snapshot_nr;
	return w->snapshots;
}

uint64_t walk_snapshots_end(const struct walk *w)
{
	return w->snapshots_end;
}

bool walk_in_file(const struct walk *w, uint64_t host, uint64_t len)
{
	return host <= w->end && len <= w->end - host;
}

bool walk_disk_is_disowned(const struct walk *w)
{
	return w->disk_disowned;
}

bool walk_is_root(const struct walk *w, uint64_t host)
{
	size_t at = vec_below(w->roots, w->root_nr, host, host + 1);

	return at && host < w->roots[at - 1].end;
}

bool walk_l2_followed(const struct walk *w, uint64_t l1_raw, uint64_t *host)
{
	*host = l1_raw & ENTRY_OFFSET_MASK;
	return *host && !geom_in_cluster(w->src.geom, *host) && !walk_is_root(w, *host) &&
	       walk_in_file(w, *host, geom_cluster_size(w->src.geom));
}

int walk_report(struct walk *w, const struct walk_fault *f, struct err *e)
{
	if (f->bad == WALK_BAD_READ && w->unread)
		*w->unread = true;
	return w->ops->fault ? w->ops->fault(w->arg, f, e) : 0;
}

void walk_tell_unread(struct walk *w, bool *unread)
{
	w->unread = unread;
}

int walk_claim(struct walk *w, const struct walk_area *a, const struct walk_fault *f,
	       bool *in_file, struct err *e)
{
	*in_file = true;
	if (!a->len)
		return 0;
	if (walk_in_file(w, a->host, a->len))
		return w->ops->area ? w->ops->area(w->arg, a, e) : 0;
	*in_file = false;
	struct walk_fault out = *f;

	out.what = a->what;
	out.owner = a->owner;
	out.bad = WALK_BAD_RANGE;
	out.host = a->host;
	return walk_report(w, &out, e);
}

/* Empty tables are rare in a sound image and the rule in a sparse file that claims much. */
static bool is_hole(struct walk *w, uint64_t off, size_t n)
{
	uint64_t len;
	bool is_data;

	if (!w->ask_holes)
		return false;
	hole_map_next(&w->holes, off, n, &is_data, &len);
	return !is_data && len == n;
}

int walk_try(struct walk *w, uint64_t off, uint8_t *buf, size_t n, bool *empty,
	     struct err *why)
{
	*empty = true;
	if (is_hole(w, off, n))
		return 0;
	if (file_read_padded(w->src.file, off, buf, n, NULL, why) < 0)
		return -1;
	*empty = bytes_are_zero(buf, n);
	w->ask_holes = *empty;
	return 0;
}

int walk_read(struct walk *w, uint64_t off, uint8_t *buf, size_t n,
	      const struct walk_fault *f, bool *empty, struct err *e)
{
	struct err why = ERR_INIT;
	struct walk_fault out = *f;

	if (watch_stopped(w->watch, e) < 0)
		return -1;
	if (walk_try(w, off, buf, n, empty, &why) == 0)
		return 0;
	out.bad = WALK_BAD_READ;
	out.host = off;
	out.text = why.text;
	return walk_report(w, &out, e);
}

static int walk_header(struct walk *w, struct err *e)
{
	struct walk_area a = { .what = WALK_HEADER,
			       .len = geom_cluster_size(w->src.geom),
			       .times = 1 };
	struct walk_fault f = { .what = WALK_HEADER };
	bool in_file;

	return walk_claim(w, &a, &f, &in_file, e);
}

static int walk_crypto(struct walk *w, struct err *e)
{
	const struct header *h = w->src.header;
	struct walk_area a = { .what = WALK_CRYPTO_HEADER,
			       .host = h->crypto.header_off,
			       .len = h->crypto.header_len,
			       .times = 1 };
	struct walk_fault f = { .what = WALK_CRYPTO_HEADER, .value = h->crypto.header_off };
	bool in_file;

	return h->has_crypto_ext ? walk_claim(w, &a, &f, &in_file, e) : 0;
}

int walk_add_tree(struct walk *w, struct walk_owner owner, uint64_t l1_off, uint32_t l1_nr,
		  struct err *e)
{
	if (!vec_grow(&w->trees, w->tree_nr, &w->tree_room))
		return err_nomem(e);
	w->trees[w->tree_nr++] = (struct walk_tree) {
		.owner = owner,
		.l1_off = l1_off,
		.l1_nr = l1_nr,
		.times = 1,
		.active = owner.kind == WALK_ACTIVE,
	};
	return 0;
}

int walk_metadata(struct walk *w, struct err *e)
{
	const struct header *h = w->src.header;
	struct walk_owner active = { .kind = WALK_ACTIVE };

	if (walk_header(w, e) < 0 || walk_refcounts(w, e) < 0 || walk_crypto(w, e) < 0 ||
	    walk_add_tree(w, active, h->l1_table_off, h->l1_size, e) < 0 ||
	    walk_snapshot_table(w, e) < 0)
		return -1;
	return walk_bitmaps(w, e);
}
