/* An image that holds nothing (11.4), whatever it held before: new tables replace all others by one
 * write of the header's first sector, and nothing that was there is looked at. First they lie behind
 * everything, where nobody can miss the space; then, as all in front of them is free, in front. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/refcount_block.h"
#include "meta/txn_internal.h"

/* The tables of an empty image, which adjoin: refcount table, refcount blocks, L1 table. Clusters. */
struct fresh {
	uint64_t first;
	uint64_t table, blocks, l1;
	uint64_t skip; /* ranges between that of block 0, which counts the header, and of block 1 */
};

static uint64_t fresh_end(const struct fresh *f)
{
	return f->first + f->table + f->blocks + f->l1;
}

/* Which range of clusters block i counts. */
static uint64_t range_of(const struct fresh *f, uint64_t i)
{
	return i ? i + f->skip : 0;
}

/* Enough for a size that is not a multiple of 512, too: others do not round it down. */
static uint64_t l1_entries(const struct txn *x)
{
	return geom_l1_entries(x->img.geom, x->img.header->size);
}

/* Table and blocks count themselves, so it is a fixed point. False when there is no such place. */
static bool fresh_plan(const struct txn *x, uint64_t first, struct fresh *f)
{
	const struct geom *g = x->img.geom;
	unsigned bits = g->cluster_bits, range_bits = geom_refcount_block_bits(g);
	uint64_t known;

	*f = (struct fresh){
		.first = first,
		.l1 = geom_clusters(g, l1_entries(x) * 8),
		.skip = first >> range_bits ? (first >> range_bits) - 1 : 0,
	};
	do {
		known = f->table + f->blocks;
		f->blocks = ((fresh_end(f) - 1) >> range_bits) - f->skip + 1;
		f->table = geom_clusters(g, (f->blocks + f->skip) * 8);
		if (f->table << bits > REFCOUNT_TABLE_BYTES_MAX ||
		    fresh_end(f) > HOST_OFFSET_MAX >> bits)
			return false;
	} while (f->table + f->blocks != known);
	return file_is_regular(x->img.file) || fresh_end(f) << bits <= file_size(x->img.file);
}

/* Counts of first .. end-1 that lie in the range become 1. */
static void ones_fill(const struct geom *g, uint8_t *block, uint64_t range, uint64_t first,
		      uint64_t end)
{
	unsigned range_bits = geom_refcount_block_bits(g);
	uint64_t from = MAX(first, range << range_bits);
	uint64_t to = MIN(end, (range + 1) << range_bits);

	if (from < to)
		refcount_block_fill(block, g->refcount_order, from - (range << range_bits),
				    to - from, 1);
}

/* Writes the start of a cluster, or of several: whole sectors, up to the last that is not zero. */
static int start_write(struct txn *x, uint64_t cluster, const uint8_t *bytes, uint64_t len,
		       struct err *e)
{
	while (len > SECTOR_SIZE && bytes_are_zero(bytes + len - SECTOR_SIZE, SECTOR_SIZE))
		len -= SECTOR_SIZE;
	return file_write_at(x->img.file, cluster << x->img.geom->cluster_bits, bytes, len, e);
}

static int blocks_write(struct txn *x, const struct fresh *f, struct err *e)
{
	const struct geom *g = x->img.geom;
	uint64_t size = geom_cluster_size(g);
	AUTO_FREE uint8_t *block = malloc(size);

	if (!block)
		return err_nomem(e);
	for (uint64_t i = 0; i < f->blocks; i++) {
		memset(block, 0, size);
		ones_fill(g, block, range_of(f, i), 0, 1);
		ones_fill(g, block, range_of(f, i), f->first, fresh_end(f));
		if (start_write(x, f->first + f->table + i, block, size, e) < 0)
			return -1;
	}
	return 0;
}

static int table_write(struct txn *x, const struct fresh *f, struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;
	AUTO_FREE uint8_t *table = calloc(f->table, geom_cluster_size(x->img.geom));

	if (!table)
		return err_nomem(e);
	for (uint64_t i = 0; i < f->blocks; i++)
		be64_put(table + range_of(f, i) * 8, (f->first + f->table + i) << bits);
	return start_write(x, f->first, table, f->table << bits, e);
}

/* Nobody points there yet. Nearly all of it is zeros, the L1 table in particular. */
static int fresh_write(struct txn *x, const struct fresh *f, struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;

	if (file_zero(x->img.file, f->first << bits, (fresh_end(f) - f->first) << bits,
		      FILE_ZERO_PUNCH, e) < 0 ||
	    table_write(x, f, e) < 0)
		return -1;
	return blocks_write(x, f, e);
}

/* From here on the image is what these tables say. */
static int fresh_point(struct txn *x, const struct fresh *f, struct err *e)
{
	const struct geom *g = x->img.geom;
	struct header *h = x->img.header;

	h->refcount_table_off = f->first << g->cluster_bits;
	h->refcount_table_clusters = (uint32_t)f->table;
	h->l1_size = (uint32_t)l1_entries(x);
	h->l1_table_off = (f->first + f->table + f->blocks) << g->cluster_bits;
	h->autoclear_features = 0;
	h->incompatible_features &= ~INCOMPATIBLE_DIRTY; /* these counts are exact */
	if (file_flush(x->img.file, e) < 0 ||
	    txn_header_write(x, HEADER_L1 | HEADER_REFCOUNTS | HEADER_FEATURES, e) < 0)
		return -1;
	return file_flush(x->img.file, e);
}

bool txn_has_snapshots(const struct txn *x)
{
	return x->img.header->nb_snapshots > 0;
}

bool txn_can_restart(const struct txn *x)
{
	const struct header *h = x->img.header;

	return !h->nb_snapshots && !h->has_crypto_ext &&
	       !(h->has_bitmaps_ext && (h->autoclear_features & AUTOCLEAR_BITMAPS));
}

/* The first cluster behind everything: what the counts know of, and in a file also what they do
 * not. */
static int place_find(struct txn *x, uint64_t *first, struct err *e)
{
	uint64_t end;

	if (txn_image_end(x, &end, e) < 0)
		return -1;
	if (file_is_regular(x->img.file))
		end = MAX(end, file_size(x->img.file));
	*first = geom_clusters(x->img.geom, end);
	return 0;
}

/* Behind everything. *done = false: there is no room, and all is as before. */
static int restart_behind(struct txn *x, uint64_t first, bool *done, struct err *e)
{
	struct err why = ERR_INIT, ignored = ERR_INIT;
	uint64_t size = file_size(x->img.file);
	struct fresh f;

	*done = fresh_plan(x, first, &f);
	if (!*done)
		return 0;
	if (fresh_write(x, &f, &why) < 0) {
		*done = false;
		if (file_truncate(x->img.file, size, &ignored) == 0 && why.os == ENOSPC)
			return 0;
		*e = why;
		return -1;
	}
	return fresh_point(x, &f, e);
}

/* In front, where everything below cluster `end` is free by now, and nothing else in the file. */
static int restart_in_front(struct txn *x, uint64_t end, struct err *e)
{
	unsigned bits = x->img.geom->cluster_bits;
	struct fresh f;

	if (!fresh_plan(x, 1, &f) || fresh_end(&f) > end) {
		file_discard(x->img.file, UINT64_C(1) << bits, (end - 1) << bits);
		return 0;
	}
	if (fresh_write(x, &f, e) < 0 || fresh_point(x, &f, e) < 0 ||
	    file_truncate(x->img.file, fresh_end(&f) << bits, e) < 0)
		return -1;
	return file_flush(x->img.file, e);
}

int txn_restart(struct txn *x, bool *done, struct err *e)
{
	uint64_t first;

	*done = false;
	if (txn_alive(x, e) < 0 || place_find(x, &first, e) < 0)
		return -1;
	x->dead = true;
	if (restart_behind(x, first, done, e) < 0)
		return -1;
	x->dead = *done;
	return *done ? restart_in_front(x, first, e) : 0;
}
