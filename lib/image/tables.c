/* Snapshot table and bitmap directory: loaded when somebody asks. */
#include "image/internal.h"

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

static int snapshots_load(struct image *img, struct err *e)
{
	size_t len, room = 0;

	if (img->header.nb_snapshots > SNAPSHOTS_MAX)
		return err_set(e, ERR_CORRUPT,
			       "the header claims %u snapshots; the most is %u",
			       img->header.nb_snapshots, SNAPSHOTS_MAX);
	if (img->header.nb_snapshots && snapshot_bytes_load(img, &len, e) < 0)
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
