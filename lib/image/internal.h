#pragma once
#include <stdatomic.h>

#include "format/header.h"
#include "image/disk.h"
#include "image/image.h"
#include "image/image_cipher.h"
#include "meta/map.h"
#include "meta/table_cache.h"

struct image {
	struct file *file, *data_file;
	uint8_t *header_bytes; /* the first cluster; header points into it */
	struct header header;
	struct geom geom;
	struct table_cache *tables;
	char *backing_name, *backing_format, *data_file_name; /* terminated copies, or NULL */
	unsigned flags;
	struct image_cipher cipher; /* what unlocking it gave */
	atomic_bool told_packed; /* that it has compressed clusters, which are not encrypted */

	uint8_t *snapshot_bytes; /* the snapshot table; entries point into it */
	struct snapshot_entry *snapshots;
	uint32_t snapshot_nr;
	bool snapshots_loaded;
	uint8_t *bitmap_bytes;
	bool bitmaps_loaded;
};

/* The file that holds guest clusters. */
static inline struct file *image_guest_file(const struct image *img)
{
	return img->geom.data_file ? img->data_file : img->file;
}

static inline bool image_is_encrypted(const struct image *img)
{
	return img->header.crypt_method != CRYPT_NONE;
}

/* Whether clusters were handed out long before anything is written there. */
bool image_looks_preallocated(const struct image *img);

/* The map of the active disk. */
struct map image_map(const struct image *img);
/* The map of a snapshot, its table's place checked. */
int image_snapshot_map(const struct image *img, const struct snapshot_entry *s, struct map *m,
		       struct err *e);

/* One layer of a disk. */
struct disk_ops {
	/* As disk_next() for this layer alone; x->depth is set by the caller. guest + max_len <= d->size. */
	int (*next)(struct disk *d, uint64_t guest, uint64_t max_len, struct extent *x,
		    struct err *e);
};

struct disk {
	const struct disk_ops *ops;
	char *name; /* as typed, or as found and resolved */
	enum image_format format;
	uint64_t size;
	unsigned depth, flags;
	bool probed;	      /* the format was found by looking */
	struct bytes secret;  /* what opens it if it is encrypted; borrowed, p NULL: nobody said */
	struct luks_key **master; /* as the spec has it */
	const struct listener *listener;
	struct disk *backing; /* owned */
	struct file *file;    /* raw: owned; qcow2: belongs to the image */
	struct image *image;  /* qcow2: owned */
	struct map map;
	uint64_t window_off;  /* raw: where the disk begins in the file */
	bool window_fixed;    /* raw: its length is given, and not that of the file */
	struct hole_map holes;
};

extern const struct disk_ops disk_raw_ops, disk_image_ops;

/* The layer of this depth, as the top layer counts; NULL past the end of the chain. */
struct disk *disk_layer_at(const struct disk *d, unsigned depth);
/* Behind this host byte of a layer's guest file there is nothing to read. */
uint64_t disk_host_end(const struct disk *d);
/* Reads n guest bytes of a raw layer. Any thread. */
int disk_read_raw(struct disk *d, uint64_t guest, void *buf, size_t n, struct err *e);

/* Takes the locks of a reader or a writer, as `s` (NULL: nothing special) wants them. */
int disk_file_lock(struct file *f, const struct spec *s, bool write, const struct listener *l,
		   struct err *e);

/* hole_map_next() over d->holes, in whole sectors. */
void disk_hole_next(struct disk *d, uint64_t host, uint64_t max_len, bool *is_data,
		    uint64_t *len);
