/* Snapshot table and bitmap directory: loaded when somebody asks. */
#include "image/internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/vec.h"

/* The table has no length of its own: entries are read until all are there. A chunk at a
 * time, so that a count in a hostile header costs no more memory than its bytes in the
 * file. */
static int snapshot_bytes_load(struct image *img, size_t *len, struct err *e)
{
	uint64_t off = img->header.snapshots_off;
	uint64_t rest = file_size(img->file) > off ? file_size(img->file) - off : 0;

	*len = (size_t)MIN(rest, SNAPSHOT_TABLE_BYTES_MAX);
	/* 65536 entries of ordinary length are a few MiB; most tables are one cluster. */
	uint64_t likely = (uint64_t)img->header.nb_snapshots * 256 + 65536;

	*len = (size_t)MIN((uint64_t)*len, likely);
	for (;;) {
		struct err probe = ERR_INIT;
		struct snapshot_entry s;
		uint32_t nr = 0;

		free(img->snapshot_bytes);
		img->snapshot_bytes = malloc(*len ? *len : 1);
		if (!img->snapshot_bytes)
			return err_nomem(e);
		if (file_read_at(img->file, off, img->snapshot_bytes, *len, e) < 0)
			return err_ctx(e, "snapshot table");
		struct rd r = rd_over(img->snapshot_bytes, *len);

		while (nr < img->header.nb_snapshots &&
		       snapshot_entry_decode(&r, &s, &probe) == 0)
			nr++;
		uint64_t most = MIN(rest, SNAPSHOT_TABLE_BYTES_MAX);

		if (nr == img->header.nb_snapshots || !r.failed || *len == most)
			return 0;
		*len = (size_t)MIN((uint64_t)*len * 4, most);
	}
}

static int snapshot_nr_check(const struct image *img, struct err *e)
{
	if (img->header.nb_snapshots > SNAPSHOTS_MAX)
		return err_set(e, ERR_CORRUPT,
			       "the header claims %u snapshots; the most is %u",
			       img->header.nb_snapshots, SNAPSHOTS_MAX);
	return 0;
}

static int snapshots_load(struct image *img, struct err *e)
{
	size_t len, room = 0;

	if (snapshot_nr_check(img, e) < 0 ||
	    (img->header.nb_snapshots && snapshot_bytes_load(img, &len, e) < 0))
		return -1;
	struct rd r = rd_over(img->snapshot_bytes, img->header.nb_snapshots ? len : 0);

	for (uint32_t i = 0; i < img->header.nb_snapshots; i++) {
		if (!vec_grow(&img->snapshots, i, &room))
			return err_nomem(e);
		if (snapshot_entry_decode(&r, &img->snapshots[i], e) < 0)
			return err_ctx(e, "snapshot table: entry %u", i);
		img->snapshot_nr = i + 1;
	}
	img->snapshots_loaded = true;
	return 0;
}

int image_snapshots(struct image *img, const struct snapshot_entry **entries, uint32_t *nr,
		    struct err *e)
{
	if (!img->snapshots_loaded) {
		free(img->snapshots);
		img->snapshots = NULL;
		img->snapshot_nr = 0;
		if (snapshots_load(img, e) < 0)
			return -1;
	}
	*entries = img->snapshots;
	*nr = img->snapshot_nr;
	return 0;
}

/* A part of the table. */
struct window {
	struct file *file;
	uint64_t off;	     /* host byte of the table */
	uint64_t len;	     /* bytes that it may have */
	uint64_t start, end; /* what `bytes` holds of it */
	uint8_t *bytes;	     /* WINDOW_BYTES */
};

#define WINDOW_BYTES ((size_t)256 << 10)
/* An entry with all that it may have (8.1) */
#define ENTRY_BYTES_MAX (40 + SNAPSHOT_EXTRA_MAX + 2 * UINT16_MAX)

/* Decodes the entry at *pos, and moves *pos behind it. */
static int window_entry(struct window *w, uint64_t *pos, struct snapshot_entry *s, struct err *e)
{
	uint64_t at = MIN(align_up(*pos, 8), w->len);

	if (w->end < w->len && at + ENTRY_BYTES_MAX > w->end) {
		size_t n = (size_t)MIN(w->len - at, WINDOW_BYTES);

		if (file_read_at(w->file, w->off + at, w->bytes, n, e) < 0)
			return -1;
		w->start = at;
		w->end = at + n;
	}
	struct rd r = rd_over(w->bytes + (at - w->start), (size_t)(w->end - at));
	struct err why = ERR_INIT;

	if (snapshot_entry_decode(&r, s, &why) == 0) {
		*pos = at + r.pos;
		return 0;
	}
	return err_set(e, why.code, "%s",
		       r.failed ? "entry runs past the end of the snapshot table" : why.text);
}

int image_snapshots_each(struct image *img,
			 int (*each)(void *arg, const struct snapshot_entry *s, struct err *e),
			 void *arg, struct err *e)
{
	uint64_t off = img->header.snapshots_off, size = file_size(img->file), pos = 0;
	struct window w = { .file = img->file,
			    .off = off,
			    .len = MIN(size - MIN(off, size), SNAPSHOT_TABLE_BYTES_MAX) };
	struct snapshot_entry s;
	int ret = snapshot_nr_check(img, e);

	if (ret < 0 || !img->header.nb_snapshots)
		return ret;
	w.bytes = malloc(WINDOW_BYTES);
	if (!w.bytes)
		return err_nomem(e);
	for (uint32_t i = 0; i < img->header.nb_snapshots && ret == 0; i++) {
		ret = window_entry(&w, &pos, &s, e);
		if (ret < 0)
			err_ctx(e, "snapshot table: entry %" PRIu32, i);
		else
			ret = each(arg, &s, e);
	}
	free(w.bytes);
	return ret;
}

int image_bitmaps(struct image *img, struct bytes *directory, struct err *e)
{
	*directory = (struct bytes){ NULL, 0 };
	return img->header.autoclear_features & AUTOCLEAR_BITMAPS
		       ? image_bitmaps_left(img, directory, e)
		       : 0;
}

int image_bitmaps_left(struct image *img, struct bytes *directory, struct err *e)
{
	const struct header *h = &img->header;

	*directory = (struct bytes){ NULL, 0 };
	if (!h->has_bitmaps_ext)
		return 0;
	if (!img->bitmaps_loaded) {
		if (h->bitmaps.directory_off > file_size(img->file) ||
		    h->bitmaps.directory_len >
			    file_size(img->file) - h->bitmaps.directory_off)
			return err_set(
				e, ERR_CORRUPT,
				"the bitmap directory at %#llx reaches past the end of the file",
				(unsigned long long)h->bitmaps.directory_off);
		free(img->bitmap_bytes);
		img->bitmap_bytes = malloc(h->bitmaps.directory_len);
		if (!img->bitmap_bytes)
			return err_nomem(e);
		if (file_read_at(img->file, h->bitmaps.directory_off, img->bitmap_bytes,
				 h->bitmaps.directory_len, e) < 0)
			return err_ctx(e, "bitmap directory");
		img->bitmaps_loaded = true;
	}
	*directory = (struct bytes){ img->bitmap_bytes, h->bitmaps.directory_len };
	return 0;
}
