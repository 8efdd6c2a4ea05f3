#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/file.h"

/* Pieces of tables and refcount blocks as they stand in the file, read on demand and kept while
 * room lasts. The unit is a slice: a cluster, or 64 KiB of a larger one, so that 2 MiB clusters do
 * not cost 2 MiB a table. May be used on several threads at once; edits come from one. */
struct table_cache;

struct table_slice {
	uint64_t off;	      /* host offset, a multiple of the slice size */
	const uint8_t *bytes; /* slice size bytes; what lies past the end of the file is zero */
};

struct table_cache *table_cache_new(struct file *f, unsigned cluster_bits, struct err *e);
void table_cache_free(struct table_cache *c);
unsigned table_cache_slice_bits(const struct table_cache *c);
/* Whether anything is known at `off`, in the file or here: a table that begins behind the end of
 * the file is lost. */
bool table_cache_reaches(struct table_cache *c, uint64_t off);

/* Gets the slice at `off` (a multiple of the slice size); every get needs its put. Its bytes stay
 * what they are until then, whatever is edited meanwhile. */
int table_cache_get(struct table_cache *c, uint64_t off, const struct table_slice **s,
		    struct err *e) MUST_CHECK;
void table_cache_put(struct table_cache *c, const struct table_slice *s);

/* --- edits ---
 * Seen at once by whoever gets a slice afterwards; they reach the file with table_cache_store(),
 * not before, and stay in memory until then. When that may be is for the txn to say. */

/* Replaces n bytes at host offset `off`, which may lie in several slices. */
int table_cache_edit(struct table_cache *c, uint64_t off, const void *p, size_t n,
		     struct err *e) MUST_CHECK;
/* A table of zeros at off .. off+len-1 (whole slices) that the file does not hold yet. */
int table_cache_make(struct table_cache *c, uint64_t off, uint64_t len,
		     struct err *e) MUST_CHECK;
/* The same as table_cache_edit(), for a caller that is the only user of the cache: n bytes to be
 * changed in place, all in one slice. Good until the next call; NULL on failure. */
uint8_t *table_cache_modify(struct table_cache *c, uint64_t off, size_t n, struct err *e);

enum table_store_what { TABLE_STORE_MADE, TABLE_STORE_ALL };
/* Writes slices that were edited, in file order: only those of tables that were made since they
 * were last stored, or all. */
int table_cache_store(struct table_cache *c, enum table_store_what what,
		      struct err *e) MUST_CHECK;
/* Whether there was any edit since the cache was made. */
bool table_cache_is_edited(const struct table_cache *c);
/* Slices that wait to be stored. */
size_t table_cache_waiting(struct table_cache *c);
/* Drops what waits: the file's bytes are in force again. */
void table_cache_revert(struct table_cache *c);
/* Drops what is known of off .. off+len-1, edits included: the clusters are no tables any more. */
void table_cache_forget(struct table_cache *c, uint64_t off, uint64_t len);
/* Drops all that nothing waits for: the file was changed by other means. */
void table_cache_forget_all(struct table_cache *c);
