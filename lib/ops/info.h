#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "format/luks_header.h"
#include "image/disk.h"
#include "image/image.h"

/* What an image says about itself: facts, collected without reading guest data. Pointers and
 * bytes belong to the struct info. */
struct info_bitmap {
	struct bytes name; /* not terminated, not to be trusted */
	uint64_t granularity; /* bytes */
	bool in_use, automatic;
};

struct info_luks {
	struct luks_header header;
	char cipher[48];  /* "aes-256" */
	char mode[32];	  /* "xts" */
	char ivgen[32];	  /* "plain64" */
	char ivgen_hash[32]; /* "" if the generator needs none */
};

/* qcow2 only */
struct info_qcow2 {
	unsigned version;
	uint64_t cluster_size;
	uint64_t allocation_unit; /* cluster or subcluster */
	unsigned refcount_bits;
	bool lazy_refcounts, extended_l2, dirty, corrupt;
	enum compression_type compression;
	enum crypt_method crypt;
	struct info_luks *luks;	       /* crypt == CRYPT_LUKS */
	const char *backing_name, *backing_format; /* verbatim, NULL: none */
	char *backing_path;	       /* the name, resolved against the image; not opened */
	const char *data_file;	       /* NULL: none; "" if there is one without a name */
	bool data_file_raw;
	struct image *image;   /* for its snapshots: image_snapshots_each() */
	uint32_t snapshots_nr; /* all of them can be read */
	struct info_bitmap *bitmaps;
	size_t bitmaps_nr;
};

struct info_layer {
	const char *path;	/* of the file that was opened */
	enum image_format format;
	uint64_t virtual_size;	/* bytes of the disk */
	uint64_t file_size;	/* bytes of the file */
	int64_t occupied;	/* bytes on the medium; -1: not known */
	bool is_device;
	bool is_mere_file;	/* asked for as a file, not as a disk in one */
	struct info_qcow2 qcow2; /* zero unless format is FORMAT_QCOW2 */
};

struct info {
	struct disk *disk;
	struct info_layer *layers;
	size_t nr; /* at least 1 after success */
};

/* Opens the image that `s` names and collects. `chain`: its backing files too, each with
 * everything that disk_open() asks of it; otherwise nothing but that one file is opened. */
int info_load(struct info *info, const struct spec *s, bool chain, const struct listener *l,
	      struct err *e) MUST_CHECK;
/* A zeroed struct is fine. */
void info_fini(struct info *info);
