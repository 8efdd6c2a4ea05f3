#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/watch.h"
#include "format/bitmap_entry.h"
#include "format/geom.h"
#include "format/header.h"
#include "format/snapshot_entry.h"
#include "image/spec.h"

/* One open qcow2 file: header, geometry, files, tables. What it says of other files is not
 * followed (image/disk.h does that). image/writer.h changes what is in it. */
struct image;

enum image_flag {
	IMAGE_NO_DATA_FILE = 1 << 0, /* do not open the external data file */
	IMAGE_CHECK = 1 << 1,	     /* for the checker: tolerate what a reader must refuse, such
				      * as snapshot tables that do not parse */
	IMAGE_NO_LOCK = 1 << 3,
	IMAGE_WRITE = 1 << 4,	/* the file is open for writing, and will be changed in place */
};

/* `f` is taken over, also on failure. `s` may be NULL (memory files). */
struct image *image_open(struct file *f, const struct spec *s, unsigned flags,
			 const struct listener *l, struct err *e);
void image_close(struct image *img);
/* Gives an encrypted image its key: without, its metadata can be read, and guest bytes cannot.
 * ERR_INVALID when the passphrase is not the one (which nobody can tell with legacy AES), or is
 * missing: pass.p NULL. `master`: as in struct spec. */
int image_unlock(struct image *img, struct bytes pass, struct luks_key **master,
		 const struct watch *watch, struct err *e) MUST_CHECK;
struct luks_header;
/* Whether what it names is known here: without, there is no way to the key. */
int image_luks_known(const struct luks_header *h, struct err *e) MUST_CHECK;
/* The header of a LUKS image, decoded. */
int image_luks_load(struct image *img, struct luks_header *h, struct err *e) MUST_CHECK;
/* Its master key, for secret_free(). `kept`: one that was found before, in a place that may be NULL or
 * hold NULL: if it is still the key, nothing is derived from the passphrase. */
struct luks_key *image_luks_key(struct image *img, const struct luks_header *h, struct bytes pass,
				struct luks_key *const *kept, const struct watch *watch,
				struct err *e);
/* Of a passphrase that opened nothing: adds to `e` what may be the matter with it. Returns -1. */
int image_passphrase_hint(struct bytes pass, struct err *e);

const struct header *image_header(const struct image *img);
const struct geom *image_geom(const struct image *img);
/* Bytes of what its L2 tables can tell apart: a cluster, or a subcluster. */
uint64_t image_unit(const struct image *img);
struct file *image_file(const struct image *img);
/* NULL when there is none, or IMAGE_NO_DATA_FILE was given */
struct file *image_data_file(const struct image *img);

/* The snapshot table, loaded on the first call. Entries and their bytes belong to the image.
 * nr = 0 and success when there are none. */
int image_snapshots(struct image *img, const struct snapshot_entry **entries, uint32_t *nr,
		    struct err *e) MUST_CHECK;
/* Hands over each of them, in order, and keeps none: a table may have 64 MiB. The entry is good until
 * each() returns; -1 from it ends the matter, the error being its own. */
int image_snapshots_each(struct image *img,
			 int (*each)(void *arg, const struct snapshot_entry *s, struct err *e),
			 void *arg, struct err *e) MUST_CHECK;
/* The bitmap directory's bytes, loaded on the first call; empty when there is no extension
 * or the autoclear bit says that it is not valid. Walk it with bitmap_entry_decode(). */
int image_bitmaps(struct image *img, struct bytes *directory, struct err *e) MUST_CHECK;
/* The same whatever the autoclear bit says: its clusters may be others' by now. */
int image_bitmaps_left(struct image *img, struct bytes *directory, struct err *e) MUST_CHECK;

/* Backing name and format, data file name as terminated strings, verbatim; NULL: none. */
const char *image_backing_name(const struct image *img);
const char *image_backing_format(const struct image *img);
const char *image_data_file_name(const struct image *img);
