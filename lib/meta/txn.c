/* The only place that decides in what order metadata reaches the file (lib/README, "The five
 * steps"). */
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/vec.h"
#include "io/file_fault.h"
#include "meta/header_store.h"
#include "meta/tree.h"
#include "meta/txn_internal.h"

/* What may wait before a bulk writer should commit: memory, not safety. */
#define TABLES_MAX ((size_t)16 << 20) /* bytes of edited tables */
#define RUNS_MAX   ((size_t)64 << 10)

int cluster_runs_add(struct cluster_runs *v, uint64_t first, uint64_t nr, uint64_t times,
		     struct err *e)
{
	struct cluster_run *last = v->nr ? &v->items[v->nr - 1] : NULL;

	if (last && last->times == times && last->first + last->nr == first) {
		last->nr += nr;
		return 0;
	}
	if (!vec_grow(&v->items, v->nr, &v->room))
		return err_nomem(e);
	v->items[v->nr++] = (struct cluster_run){ first, nr, times };
	return 0;
}

struct txn *txn_new(const struct txn_image *img, struct err *e)
{
	struct txn *x = calloc(1, sizeof *x);
	uint64_t count;

	if (!x) {
		err_nomem(e);
		return NULL;
	}
	x->img = *img;
	x->freed_from = UINT64_MAX;
	x->file_end = file_size(img->file);
	if (img->header->incompatible_features & INCOMPATIBLE_CORRUPT) {
		err_set(e, ERR_CORRUPT,
			"the image is marked corrupt: it can be read, and repaired with check -r "
			"all");
		goto out;
	}
	if (refcounts_open(&x->refcounts, img->file, img->geom, img->header, e) < 0 ||
	    txn_overlap_load(x, e) < 0 || refcounts_get(&x->refcounts, 0, &count, e) < 0)
		goto out;
	if (count)
		return x;
	err_set(e, ERR_CORRUPT, "the refcount of the header is 0; run check -r all");
out:
	x->dead = true;
	txn_free(x);
	return NULL;
}

void txn_free(struct txn *x)
{
	struct err ignored = ERR_INIT;

	if (!x)
		return;
	table_cache_revert(x->img.tables);
	if (!x->dead && x->taken.nr && txn_give_back(x, &ignored) < 0)
		x->dead = true; /* the clusters are leaked */
	refcounts_close(&x->refcounts);
	overlap_fini(&x->overlap);
	free(x->taken.items);
	free(x->released.items);
	free(x->header_whole);
	free(x);
}

int txn_alive(const struct txn *x, struct err *e)
{
	return x->dead ? err_set(e, ERR_IO, "an earlier error left the image as it is") : 0;
}

int txn_header_write(struct txn *x, unsigned fields, struct err *e)
{
	header_patch(x->img.header_bytes, x->img.header, fields);
	return file_write_at(x->img.file, 0, x->img.header_bytes, SECTOR_SIZE, e);
}

int txn_autoclear(struct txn *x, uint64_t autoclear, struct err *e)
{
	struct header *h = x->img.header;

	if (txn_alive(x, e) < 0)
		return -1;
	if (!(h->autoclear_features & autoclear))
		return 0;
	h->autoclear_features &= ~autoclear;
	if (txn_header_write(x, HEADER_FEATURES, e) == 0 && file_flush(x->img.file, e) == 0)
		return 0;
	x->dead = true;
	return -1;
}

int txn_begin(struct txn *x, uint64_t keep, struct err *e)
{
	if (txn_alive(x, e) < 0)
		return -1;
	if (x->begun)
		return 0;
	x->begun = true;
	return txn_autoclear(x, ~keep, e);
}

int txn_promise(struct txn *x, uint64_t bits, struct err *e)
{
	if (txn_alive(x, e) < 0)
		return -1;
	x->img.header->autoclear_features |= bits;
	x->begun = false;
	if (txn_header_write(x, HEADER_FEATURES, e) == 0 && file_flush(x->img.file, e) == 0)
		return 0;
	x->dead = true;
	return -1;
}

struct refcounts *txn_refcounts(struct txn *x)
{
	return &x->refcounts;
}

void txn_header(struct txn *x, unsigned fields)
{
	x->header_fields |= fields;
}

void txn_header_replace(struct txn *x, uint8_t *bytes)
{
	free(x->header_whole);
	x->header_whole = bytes;
}

int txn_mark_corrupt(struct txn *x, struct err *e)
{
	struct err ignored = ERR_INIT;
	struct header *h = x->img.header;

	x->dead = true;
	if (h->version < 3)
		return -1; /* version 2 has no place for it (12.4) */
	h->incompatible_features |= INCOMPATIBLE_CORRUPT;
	if (txn_header_write(x, HEADER_FEATURES, &ignored) == 0 &&
	    file_flush(x->img.file, &ignored) == 0)
		err_ctx(e, "the image is marked corrupt and not changed any more");
	return -1;
}

bool txn_is_full(struct txn *x)
{
	size_t slices = TABLES_MAX >> table_cache_slice_bits(x->img.tables);
	size_t runs = file_fault_waiting(RUNS_MAX);

	return table_cache_waiting(x->img.tables) > file_fault_waiting(slices) ||
	       x->taken.nr > runs || x->released.nr > runs;
}

static int flush(struct txn *x, struct err *e)
{
	if (x->img.data_file && file_flush(x->img.data_file, e) < 0)
		return file_failed_as_data(x->img.data_file, e);
	return file_flush(x->img.file, e);
}

/* Step 2: everything that nobody points to yet, and the counts that it needs. */
static int grow(struct txn *x, struct err *e)
{
	struct refcounts *r = &x->refcounts;

	/* A block must be there before the refcount table leads to it. */
	if (refcounts_has_made(r) &&
	    (refcounts_store_made(r, e) < 0 || file_flush(x->img.file, e) < 0))
		return -1;
	if (refcounts_store(r, e) < 0 ||
	    table_cache_store(x->img.tables, TABLE_STORE_MADE, e) < 0)
		return -1;
	if (x->header_whole &&
	    header_store_begin(x->img.file, x->img.header_bytes, x->header_whole,
			       (size_t)geom_cluster_size(x->img.geom), e) < 0)
		return -1;
	return flush(x, e);
}

/* Durably. */
static int header_point(struct txn *x, struct err *e)
{
	size_t size = (size_t)geom_cluster_size(x->img.geom);

	if (!x->header_whole)
		return txn_header_write(x, x->header_fields, e) < 0 ? -1
								    : file_flush(x->img.file, e);
	if (header_store(x->img.file, x->img.header_bytes, x->header_whole, size, e) < 0)
		return -1;
	/* The struct leads into bytes that are others now. */
	return header_decode(x->img.header_bytes, size, x->img.header, e);
}

/* Step 3: what leads to the new things. The header comes last: it says how the tables are to be
 * read. */
static int point(struct txn *x, struct err *e)
{
	bool header = x->header_fields || x->header_whole;
	bool tables = table_cache_waiting(x->img.tables) > 0;

	if (!header && !tables)
		return 0;
	x->pointing = true;
	if (tables && (table_cache_store(x->img.tables, TABLE_STORE_ALL, e) < 0 ||
		       file_flush(x->img.file, e) < 0))
		return -1;
	if (header && header_point(x, e) < 0)
		return -1;
	x->header_fields = 0;
	free(x->header_whole);
	x->header_whole = NULL;
	return 0;
}

int txn_settle(struct txn *x, struct err *e)
{
	if (txn_alive(x, e) < 0)
		return -1;
	if (grow(x, e) == 0)
		return 0;
	/* Nothing points to what was taken: txn_free() gives it back. */
	table_cache_revert(x->img.tables);
	return -1;
}

int txn_commit(struct txn *x, struct err *e)
{
	if (txn_settle(x, e) < 0)
		return -1;
	if (point(x, e) < 0 || txn_release_apply(x, e) < 0) {
		x->dead = true;
		return -1;
	}
	x->pointing = false;
	x->taken.nr = 0;
	return 0;
}

int txn_finish(struct txn *x, struct err *e)
{
	if (txn_commit(x, e) < 0)
		return -1;
	/* Lowered counts may still wait; no blocks were made since. */
	if (refcounts_store(&x->refcounts, e) == 0 && flush(x, e) == 0)
		return 0;
	x->dead = true;
	return -1;
}

int txn_counts_check(struct txn *x, const struct counts *c, bool raise, struct err *e)
{
	return refcounts_bulk(&x->refcounts, c, raise, true, e);
}

int txn_counts_apply(struct txn *x, const struct counts *c, bool raise, struct err *e)
{
	if (txn_alive(x, e) < 0)
		return -1;
	if (refcounts_bulk(&x->refcounts, c, raise, false, e) == 0) {
		x->hint = raise ? x->hint : 0;
		return 0;
	}
	x->dead = true;
	return -1;
}

static int dirty_set(struct txn *x, bool dirty, struct err *e)
{
	uint64_t *word = &x->img.header->incompatible_features;

	if (x->img.header->version < 3)
		return 0; /* the order alone protects */
	*word = dirty ? *word | INCOMPATIBLE_DIRTY : *word & ~INCOMPATIBLE_DIRTY;
	if (txn_header_write(x, HEADER_FEATURES, e) == 0 && file_flush(x->img.file, e) == 0)
		return 0;
	x->dead = true;
	return -1;
}

int txn_withdraw(struct txn *x, struct err *e)
{
	return txn_alive(x, e) < 0 ? -1 : dirty_set(x, true, e);
}

int txn_claimed(struct txn *x, struct err *e)
{
	return txn_finish(x, e) < 0 ? -1 : dirty_set(x, false, e);
}

void txn_punch(struct txn *x, bool punch)
{
	x->punch = punch;
}
