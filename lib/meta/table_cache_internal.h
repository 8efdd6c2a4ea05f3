#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "meta/table_cache.h"

#define TABLE_BUCKETS 256

struct cached_slice {
	struct table_slice slice; /* first: a slice handed out leads back here */
	uint8_t *bytes;
	unsigned users;
	uint64_t last_use;
	bool detached;	/* not in the cache any more, goes with its last user */
	bool waits;	/* edited, and not stored */
	bool made;	/* the file holds nothing of it yet */
	uint32_t from, to; /* bytes that were edited */
	struct cached_slice *next; /* in its bucket */
	struct cached_slice *older, *newer; /* among those that do not wait, as they came */
};

struct table_cache {
	struct file *file;
	unsigned slice_bits;
	pthread_mutex_t lock; /* guards everything below, and is held while a slice is read */
	uint64_t clock;
	unsigned nr, keep;    /* slices that do not wait: how many there are, and may be */
	struct cached_slice *newest; /* of these */
	size_t waiting;
	atomic_bool edited;   /* ever */
	struct cached_slice *buckets[TABLE_BUCKETS];
};

static inline struct cached_slice **table_bucket(struct table_cache *c, uint64_t off)
{
	uint64_t key = off >> c->slice_bits;

	return &c->buckets[(key ^ key >> 8) % TABLE_BUCKETS];
}

/* Takes it out of the cache; memory goes at once, or with the last user. */
void table_slice_drop(struct table_cache *c, struct cached_slice *s);
/* It does not wait for being stored, or not any more; and the contrary. */
void table_slice_rests(struct table_cache *c, struct cached_slice *s);
void table_slice_waits(struct table_cache *c, struct cached_slice *s);
