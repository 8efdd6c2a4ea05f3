#include "image/writer_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"

static struct txn *txn_of_image(struct image *img, struct err *e)
{
	struct txn_image t = {
		.file = img->file,
		.data_file = img->data_file,
		.geom = &img->geom,
		.header = &img->header,
		.header_bytes = img->header_bytes,
		.tables = img->tables,
	};

	if (image_snapshots(img, &t.snapshots, &t.snapshot_nr, e) < 0)
		return NULL;
	return txn_new(&t, e);
}

/* Counts of an image that was not closed may be too low (12.3). */
static int make_safe(struct image_writer *w, const struct watch *watch, struct err *e)
{
	bool changed;

	if (!(w->img->header.incompatible_features & INCOMPATIBLE_DIRTY))
		return 0;
	if (txn_autoclear(w->txn, ~(AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW), e) < 0 ||
	    txn_make_safe(w->txn, watch, &changed, e) < 0)
		return -1;
	warn_to(w->listener,
		"'%s' was not closed by its last user; %s (check finds what is left)", w->disk->name,
		changed ? "refcounts that were too low have been raised"
			: "nothing that is dangerous was found");
	return 0;
}

struct image_writer *image_writer_new(struct disk *d, const struct listener *l,
				      const struct watch *watch, struct err *e)
{
	struct image_writer *w = calloc(1, sizeof *w);

	if (!w) {
		err_nomem(e);
		return NULL;
	}
	w->disk = d;
	w->img = d->image;
	w->listener = l;
	w->l1_idx = UINT64_MAX;
	w->data_file_raw = (w->img->header.autoclear_features & AUTOCLEAR_DATA_FILE_RAW) &&
			   !writer_shows_backing(w);
	w->reader = disk_reader_new(d, e);
	w->cluster = w->reader ? aligned_alloc(512, geom_cluster_size(writer_geom(w))) : NULL;
	w->sealed = aligned_alloc(512, SEALED_ROOM);
	if (w->reader && (!w->cluster || !w->sealed))
		err_nomem(e);
	if (w->cluster && w->sealed && (w->txn = txn_of_image(w->img, e)) && make_safe(w, watch, e) == 0)
		return w;
	image_writer_free(w);
	return NULL;
}

void image_writer_free(struct image_writer *w)
{
	if (!w)
		return;
	bitmap_set_fini(&w->bitmaps);
	txn_free(w->txn);
	disk_reader_free(w->reader);
	free(w->cluster);
	free(w->sealed);
	free(w);
}

int writer_begin(struct image_writer *w, uint64_t guest, uint64_t len, struct err *e)
{
	/* What unknown bits speak of is withdrawn before anything else changes (2.5). */
	if (!w->begun && (txn_begin(w->txn, AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW, e) < 0 ||
			  writer_bitmaps_begin(w, e) < 0))
		return -1;
	w->begun = true;
	return writer_bitmaps_mark(w, guest, len, e);
}

int writer_l2(struct image_writer *w, uint64_t guest, struct err *e)
{
	uint64_t idx = geom_l1_index(writer_geom(w), guest);

	if (w->l1_idx == idx)
		return 0;
	w->l1_idx = UINT64_MAX;
	if (map_l2_make(&w->disk->map, w->txn, guest, &w->l2_off, e) < 0 ||
	    (w->data_file_raw && writer_raw_settle(w, guest, e) < 0))
		return -1;
	w->l1_idx = idx;
	return 0;
}

int writer_entry(struct image_writer *w, uint64_t guest, struct l2_entry *x, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t cluster = align_down(guest, geom_cluster_size(g));

	if (map_entry_get(&w->disk->map, w->l2_off, geom_l2_index(g, guest), x, e) < 0)
		return -1;
	if (g->data_file && x->has_host && x->host != cluster)
		return err_set(e, ERR_CORRUPT,
			       "guest offset %#" PRIx64
			       " leads to another place of the data file, %#" PRIx64,
			       cluster, x->host);
	return 0;
}

int writer_entry_set(struct image_writer *w, uint64_t guest, uint64_t raw, uint64_t bitmap,
		     struct err *e)
{
	struct map_words words = { raw, bitmap };

	return map_entries_set(&w->disk->map, w->l2_off, geom_l2_index(writer_geom(w), guest),
			       &words, 1, e);
}

int writer_in_place(struct image_writer *w, const struct l2_entry *x, bool *in_place,
		    struct err *e)
{
	uint64_t count;

	*in_place = x->has_host;
	if (!x->has_host || writer_geom(w)->data_file)
		return 0;
	if (txn_refcount(w->txn, x->host, &count, e) < 0)
		return -1;
	if (!count)
		return err_set(e, ERR_CORRUPT,
			       "the cluster at %#" PRIx64
			       " is in use and has refcount 0; run check -r all",
			       x->host);
	/* A claim that is false would cost somebody his data: the count has to agree. */
	*in_place = x->copied && count == 1;
	return *in_place ? txn_guest_check(w->txn, x->host, 1, e) : 0;
}

int writer_release(struct image_writer *w, const struct l2_entry *x, struct err *e)
{
	if (x->packed)
		return txn_release_guest(w->txn, x->host, x->host_len, 1, e);
	if (!x->has_host || writer_geom(w)->data_file)
		return 0;
	return txn_release_guest(w->txn, x->host, geom_cluster_size(writer_geom(w)), 1, e);
}

int writer_take(struct image_writer *w, uint64_t guest, uint64_t want, uint64_t *host,
		uint64_t *nr, struct err *e)
{
	if (!writer_geom(w)->data_file)
		return txn_take(w->txn, want, host, nr, e);
	*host = guest;
	*nr = want;
	return 0;
}

void image_writer_hold(struct image_writer *w, bool hold)
{
	w->held = hold;
}

bool image_writer_is_full(struct image_writer *w)
{
	return txn_is_full(w->txn);
}

int image_writer_relax(struct image_writer *w, struct err *e)
{
	if (w->held || !txn_is_full(w->txn))
		return 0;
	w->lane_end = 0;
	return txn_commit(w->txn, e);
}

int image_writer_finish(struct image_writer *w, struct err *e)
{
	w->lane_end = 0; /* its cluster may become free, and somebody else's */
	return txn_finish(w->txn, e) < 0 ? -1 : writer_bitmaps_finish(w, e);
}

uint64_t image_writer_cluster_size(const struct image_writer *w)
{
	return geom_cluster_size(writer_geom(w));
}

uint64_t image_writer_unit(const struct image_writer *w)
{
	return image_unit(w->img);
}

void image_writer_expect_backing(struct image_writer *w)
{
	w->expect_backing = true;
}

void image_writer_punch(struct image_writer *w)
{
	txn_punch(w->txn, true);
}
