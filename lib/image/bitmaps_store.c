/* A set of bitmaps becomes what the file holds: in the five steps (lib/README), with the bitmaps
 * extension of the header as the one switch. Nothing of the old set is changed in place. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "image/bitmaps_internal.h"
#include "image/writer_internal.h"
#include "meta/header_store.h"

#define WALK_BYTES ((size_t)64 << 10)

int bitmap_table_check(const struct image *img, const struct bitmap_entry *b, struct err *e)
{
	uint64_t len = b->table_nr * UINT64_C(8), size = file_size(img->file);

	if (geom_in_cluster(&img->geom, b->table_off) || b->table_off > size ||
	    len > size - b->table_off ||
	    (uint64_t)b->table_nr << img->geom.cluster_bits > BITMAP_BYTES_MAX)
		return err_set(e, ERR_CORRUPT, "its table, %" PRIu32 " entries at %#" PRIx64
			       ", is out of range", b->table_nr, b->table_off);
	return 0;
}

int bitmap_table_walk(struct image *img, const struct bitmap_entry *b,
		      int (*visit)(void *arg, uint64_t idx, uint64_t raw, struct err *e),
		      void *arg, struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(WALK_BYTES);
	uint64_t len = b->table_nr * UINT64_C(8);

	if (!buf)
		return err_nomem(e);
	for (uint64_t at = 0; at < len; at += WALK_BYTES) {
		size_t n = (size_t)MIN(len - at, WALK_BYTES);

		if (file_read_at(img->file, b->table_off + at, buf, n, e) < 0)
			return err_ctx(e, "bitmap table");
		for (size_t i = 0; i < n; i += 8)
			if (visit(arg, (at + i) / 8, be64_get(buf + i), e) < 0)
				return -1;
	}
	return 0;
}

/* --- step 2: what nobody leads to yet --- */

/* Writes whole clusters, the last one padded as far as a sector goes. */
static int piece_store(struct image_writer *w, const uint8_t *bytes, uint64_t len, uint64_t *host,
		       struct err *e)
{
	if (txn_take_all(w->txn, geom_clusters(writer_geom(w), len), host, e) < 0)
		return -1;
	return file_write_at(w->img->file, *host, bytes, (size_t)align_up(len, SECTOR_SIZE), e);
}

static bool all_ones(const uint8_t *bytes, size_t n)
{
	return bytes[0] == 0xff && memcmp(bytes, bytes + 1, n - 1) == 0;
}

/* The table entry of a page; its data is written if it was changed. */
static int page_store(struct image_writer *w, struct bits *b, uint64_t page, uint64_t *raw,
		      struct err *e)
{
	size_t size = (size_t)1 << b->page_bits;
	const uint8_t *mem = b->pages[page].mem;

	*raw = b->pages[page].stored;
	if (!mem)
		return 0;
	*raw = BITS_ZEROS;
	if (bytes_are_zero(mem, size))
		return 0;
	*raw = BITS_ONES;
	if (all_ones(mem, size))
		return 0;
	return piece_store(w, mem, size, raw, e);
}

int bitmap_store(struct image_writer *w, struct bitmap *b, struct bitmap_entry *x,
		 const struct watch *watch, struct err *e)
{
	AUTO_FREE uint8_t *table = calloc(1, align_up(b->bits.page_nr * 8, SECTOR_SIZE));

	if (!table)
		return err_nomem(e);
	for (uint64_t i = 0; i < b->bits.page_nr; i++) {
		uint64_t raw;

		if (watch_stopped(watch, e) < 0 || page_store(w, &b->bits, i, &raw, e) < 0)
			return -1;
		be64_put(table + i * 8, raw);
	}
	x->table_nr = (uint32_t)b->bits.page_nr;
	return piece_store(w, table, b->bits.page_nr * 8, &x->table_off, e);
}

static uint64_t directory_len(const struct bitmap_set *s)
{
	uint64_t len = 0;

	for (size_t i = 0; i < s->nr; i++)
		len += bitmap_entry_len(&s->items[i].entry);
	return len;
}

/* Data, tables and the directory; *ext is what will lead there. */
static int set_grow(struct bitmap_set *s, struct image_writer *w, struct bitmaps_ext *ext,
		    const struct watch *watch, struct err *e)
{
	AUTO_FREE uint8_t *bytes = NULL;

	*ext = (struct bitmaps_ext){ .nr = (uint32_t)s->nr, .directory_len = directory_len(s) };
	if (!s->nr)
		return 0;
	bytes = calloc(1, align_up(ext->directory_len, SECTOR_SIZE));
	if (!bytes)
		return err_nomem(e);
	struct wr out = wr_over(bytes, ext->directory_len);

	for (size_t i = 0; i < s->nr; i++) {
		struct bitmap_entry x = s->items[i].entry;

		if (s->items[i].lost && bitmap_store_lost(w, &x, e) < 0)
			return -1;
		if (s->items[i].changed && bitmap_store(w, &s->items[i], &x, watch, e) < 0)
			return -1;
		bitmap_entry_encode(&out, &x);
	}
	return piece_store(w, bytes, ext->directory_len, &ext->directory_off, e);
}

/* --- step 4, prepared: what nobody will lead to any more --- */

struct release {
	struct image_writer *w;
	const struct bits *kept; /* pages that stay as they are; or NULL */
};

/* What is not counted, or somebody else's, is not ours to give up: a leak at worst. */
static int piece_release(struct image_writer *w, uint64_t host, uint64_t len, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t nr = geom_clusters(g, len), count;

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t at = host + (i << g->cluster_bits);

		if (txn_refcount(w->txn, at, &count, e) < 0)
			return -1;
		if (count && !txn_is_metadata(w->txn, at, 1) &&
		    txn_release(w->txn, at, 1, 1, e) < 0)
			return -1;
	}
	return 0;
}

static int page_release(void *arg, uint64_t idx, uint64_t raw, struct err *e)
{
	struct release *r = arg;
	const struct geom *g = writer_geom(r->w);
	uint64_t host = bitmap_table_entry_decode(raw).data_off;

	if (!host || geom_in_cluster(g, host) || host >= file_size(r->w->img->file))
		return 0;
	if (r->kept && idx < r->kept->page_nr && !r->kept->pages[idx].mem &&
	    r->kept->pages[idx].stored == host)
		return 0;
	return piece_release(r->w, host, geom_cluster_size(g), e);
}

int bitmap_release(struct image_writer *w, const struct bitmap_entry *x, const struct bits *kept,
		   struct err *e)
{
	struct release r = { w, kept };
	struct err broken = ERR_INIT;

	if (bitmap_table_check(w->img, x, &broken) < 0)
		return 0;
	if (bitmap_table_walk(w->img, x, page_release, &r, e) < 0)
		return -1;
	return piece_release(w, x->table_off, x->table_nr * UINT64_C(8), e);
}

/* What a void set has left may be somebody else's by now. */
static int set_release(struct bitmap_set *s, struct image_writer *w, struct err *e)
{
	const struct header *h = &w->img->header;

	if (s->is_void || !h->has_bitmaps_ext)
		return 0;
	for (size_t i = 0; i < s->gone_nr; i++)
		if (bitmap_release(w, &s->gone[i], NULL, e) < 0)
			return -1;
	for (size_t i = 0; i < s->nr; i++)
		if (s->items[i].changed && s->items[i].stored &&
		    bitmap_release(w, &s->items[i].entry, &s->items[i].bits, e) < 0)
			return -1;
	return txn_release(w->txn, h->bitmaps.directory_off, h->bitmaps.directory_len, 1, e);
}

/* --- step 3: the switch --- */

/* Where the header cluster holds the extension's 24 bytes; 0 if it has none. */
static size_t extension_place(const struct image *img)
{
	struct rd r = rd_over(img->header.extensions.p, img->header.extensions.n);
	struct err ignored = ERR_INIT;
	struct header_ext x;

	while (header_ext_next(&r, &x, &ignored) > 0)
		if (x.type == EXT_BITMAPS && x.data.n == EXT_BITMAPS_BYTES)
			return (size_t)(x.data.p - img->header_bytes);
	return 0;
}

/* The header cluster with (or without) the extension. */
static uint8_t *header_with(const struct image *img, const struct bitmaps_ext *ext, struct err *e)
{
	struct header h = img->header;
	size_t size = (size_t)1 << h.cluster_bits, place = extension_place(img);
	uint8_t *bytes = malloc(size);

	if (!bytes) {
		err_nomem(e);
		return NULL;
	}
	if (h.has_bitmaps_ext && ext->nr) {
		struct wr w = wr_over(bytes + place, EXT_BITMAPS_BYTES);

		memcpy(bytes, img->header_bytes, size);
		bitmaps_ext_encode(&w, ext);
		return bytes;
	}
	h.has_bitmaps_ext = ext->nr;
	h.bitmaps = *ext;
	if (header_encode(bytes, &h, e) == 0)
		return bytes;
	free(bytes);
	return NULL;
}

/* Whether the switch is one sector alone, which a crash leaves old or new. */
static bool switch_is_atomic(const struct bitmap_set *s, const struct image *img)
{
	size_t place = extension_place(img);

	return img->header.has_bitmaps_ext && s->nr &&
	       place / SECTOR_SIZE == (place + EXT_BITMAPS_BYTES - 1) / SECTOR_SIZE;
}

static int withdraw(struct image_writer *w, struct err *e)
{
	w->img->header.autoclear_features &= ~AUTOCLEAR_BITMAPS;
	txn_header(w->txn, HEADER_FEATURES);
	return txn_finish(w->txn, e);
}

static int promise(struct image_writer *w, struct err *e)
{
	return txn_finish(w->txn, e) < 0 ? -1 : txn_promise(w->txn, AUTOCLEAR_BITMAPS, e);
}

/* Where more than a sector of the header changes, no reader may believe it in between: the bitmaps
 * are void until all of it is there. */
static int set_point(struct bitmap_set *s, struct image_writer *w, const struct bitmaps_ext *ext,
		     struct err *e)
{
	bool atomic = switch_is_atomic(s, w->img);
	uint8_t *bytes;

	if (!atomic && (w->img->header.autoclear_features & AUTOCLEAR_BITMAPS) &&
	    withdraw(w, e) < 0)
		return -1;
	if (set_release(s, w, e) < 0)
		return -1;
	bytes = header_with(w->img, ext, e);
	if (!bytes)
		return -1;
	w->img->header.has_bitmaps_ext = ext->nr;
	w->img->header.bitmaps = *ext;
	txn_header_replace(w->txn, bytes);
	if (txn_commit(w->txn, e) < 0 ||
	    (ext->nr && txn_guard_bitmaps(w->txn, ext->directory_off, ext->directory_len, e) < 0))
		return -1;
	if (s->nr && !(w->img->header.autoclear_features & AUTOCLEAR_BITMAPS))
		return promise(w, e);
	return txn_finish(w->txn, e);
}

static int room_check(const struct bitmap_set *s, const struct image *img, struct err *e)
{
	struct bitmaps_ext ext = { .nr = (uint32_t)s->nr,
				   .directory_len = directory_len(s),
				   .directory_off = geom_cluster_size(&img->geom) };
	uint8_t *bytes;
	int ret;

	if (s->nr && ext.directory_len > BITMAP_DIRECTORY_BYTES_MAX)
		return err_set(e, ERR_INVALID, "the bitmap directory would have more than 64 MiB");
	bytes = header_with(img, &ext, e);
	if (!bytes)
		return -1;
	ret = header_store_check(img->header_bytes, bytes, (size_t)geom_cluster_size(&img->geom), e);
	free(bytes);
	return ret;
}

int bitmap_set_store(struct bitmap_set *s, struct image_writer *w, const struct watch *watch,
		     struct err *e)
{
	const struct header *h = &w->img->header;
	uint64_t keep = AUTOCLEAR_DATA_FILE_RAW;
	struct bitmaps_ext ext;

	if (!s->changed)
		return 0;
	if (h->has_bitmaps_ext)
		keep |= AUTOCLEAR_BITMAPS;
	if (room_check(s, w->img, e) < 0 || txn_begin(w->txn, keep, e) < 0 ||
	    set_grow(s, w, &ext, watch, e) < 0)
		return -1;
	return set_point(s, w, &ext, e);
}

int bitmap_set_promise(struct bitmap_set *s, struct image_writer *w, const struct watch *watch,
		       struct err *e)
{
	return s->changed ? bitmap_set_store(s, w, watch, e) : promise(w, e);
}
