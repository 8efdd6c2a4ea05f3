#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "format/geom.h"
#include "format/header_ext.h"

/* The image header (2) with its extensions (3) and the backing file name. */

#define INCOMPATIBLE_DIRTY	 (UINT64_C(1) << 0)
#define INCOMPATIBLE_CORRUPT	 (UINT64_C(1) << 1)
#define INCOMPATIBLE_DATA_FILE	 (UINT64_C(1) << 2)
#define INCOMPATIBLE_COMPRESSION (UINT64_C(1) << 3)
#define INCOMPATIBLE_EXTENDED_L2 (UINT64_C(1) << 4)
#define INCOMPATIBLE_KNOWN	 UINT64_C(0x1f)
#define COMPATIBLE_LAZY_REFCOUNTS (UINT64_C(1) << 0)
#define COMPATIBLE_KNOWN	 UINT64_C(1)
#define AUTOCLEAR_BITMAPS	 (UINT64_C(1) << 0)
#define AUTOCLEAR_DATA_FILE_RAW	 (UINT64_C(1) << 1)
#define AUTOCLEAR_KNOWN		 UINT64_C(3)

enum crypt_method { CRYPT_NONE, CRYPT_AES, CRYPT_LUKS };
enum compression_type { COMPRESSION_ZLIB, COMPRESSION_ZSTD };

/* The fields as they stand in the file, in order. Where a version 2 header, or a short one,
 * has no field, the value is the default of (2.2). */
struct header {
	uint32_t version;	     /* 2 or 3 */
	uint64_t backing_off;	     /* 0: no backing file */
	uint32_t backing_len;	     /* bytes */
	uint32_t cluster_bits;
	uint64_t size;		     /* bytes as stored; geom.disk_size is rounded down to 512 */
	uint32_t crypt_method;	     /* enum crypt_method */
	uint32_t l1_size;	     /* entries */
	uint64_t l1_table_off;
	uint64_t refcount_table_off;
	uint32_t refcount_table_clusters;
	uint32_t nb_snapshots;
	uint64_t snapshots_off;
	uint64_t incompatible_features;
	uint64_t compatible_features;
	uint64_t autoclear_features;
	uint32_t refcount_order;
	uint32_t header_length;	     /* bytes, as stored (72 for version 2) */
	uint8_t compression_type;    /* enum compression_type */

	/* From the extensions and behind them. All point into the buffer that was decoded,
	 * and live as long as it does. n == 0: not there (has_data_file tells "" from none). */
	struct bytes unknown_fields; /* header bytes 112..header_length-1, kept verbatim */
	struct bytes extensions;     /* the whole list without its end marker, for
				      * header_ext_next() */
	struct bytes backing_name;   /* not terminated */
	struct bytes backing_format; /* not terminated */
	struct bytes data_file_name; /* not terminated */
	struct bytes feature_table;
	bool has_bitmaps_ext, has_crypto_ext, has_data_file_name;
	struct bitmaps_ext bitmaps; /* in force only with AUTOCLEAR_BITMAPS; the bit without the
				     * extension is not refused either (2.5) */
	struct crypto_ext crypto;
};

/* Bytes that header_probe() needs; every image has at least this many. */
#define HEADER_PROBE_BYTES HEADER_LENGTH_V2

/* From the first HEADER_PROBE_BYTES of a file: checks magic, version and cluster_bits and
 * stores the cluster size, that is how many bytes header_decode() should get. Fewer bytes
 * in the file are fine as long as what the header names is there. ERR_CORRUPT for bytes that
 * are not a header (the text is "Image is not in qcow2 format" for a wrong magic),
 * ERR_UNSUPPORTED for versions and cluster sizes that we do not know. */
int header_probe(const void *start, size_t n, uint64_t *cluster_size, struct err *e) MUST_CHECK;

/* Decodes and checks everything that can be checked without other parts of the file (2.3,
 * 2.4, 2.5, 2.6, 3.1, 3.2): ranges, alignments, table sizes against limits.h, l1_size against
 * size, feature bits against their fields, duplicate pointer extensions. Unknown
 * incompatible bits are refused with their names (2.7), escaped. `buf` holds the first
 * cluster, or less when the file is shorter; the struct points into it.
 *
 * Accepted, because a checker must be able to look: refcount_table_clusters 0, tables that
 * begin behind the end of the file, AUTOCLEAR_BITMAPS without the extension. A bitmaps
 * extension that is not in force and makes no sense is dropped. An extension list may end
 * with the file. */
int header_decode(const void *buf, size_t n, struct header *h, struct err *e) MUST_CHECK;
/* The number of snapshots and the place of their table. header_decode() leaves this one table to
 * its caller: the disk can be checked without it, and the check should say more than "no". */
int header_snapshots_check(const struct header *h, struct err *e) MUST_CHECK;

/* The arithmetic of a header that header_decode() accepted. */
struct geom header_geom(const struct header *h);

/* Writes a complete header cluster of 1 << h->cluster_bits bytes: fields, extensions in the
 * order of (3.4) with unknown ones from h->extensions kept in their order, a feature table
 * for version 3 when the cluster is larger than 4 KiB, end marker, backing name, zeros.
 * header_length becomes 72, or 112 plus unknown_fields.n. Not read: h->header_length,
 * h->backing_off and h->backing_len (the name is placed here, from backing_name) and
 * h->feature_table. Fields must be in range, as header_decode() leaves them, and no bytes of
 * h may lie in buf. Returns -1 with ERR_INVALID when it does not fit; buf then holds
 * nothing of use. */
int header_encode(void *buf, const struct header *h, struct err *e) MUST_CHECK;

/* The same header in other places, for who has to go from one to another in safe steps. */
struct header_form {
	bool no_feature_table; /* it only informs */
	size_t name_off;       /* where the name goes, behind the list; 0: right there */
};
int header_encode_as(void *buf, const struct header *h, const struct header_form *form,
		     struct err *e) MUST_CHECK;

/* Groups of fields, all inside the first 104 bytes, that are changed in place: one write of the
 * first sector, which a crash leaves old or new. */
enum header_fields {
	HEADER_SIZE = 1 << 0,		/* size */
	HEADER_L1 = 1 << 1,		/* l1_size, l1_table_off */
	HEADER_REFCOUNTS = 1 << 2,	/* refcount_table_off, _clusters, refcount_order */
	HEADER_SNAPSHOTS = 1 << 3,	/* nb_snapshots, snapshots_off */
	HEADER_FEATURES = 1 << 4,	/* the three feature words; version 3 only */
};
/* Puts those fields of h into a header cluster of the same version, and changes nothing else. */
void header_patch(uint8_t *bytes, const struct header *h, unsigned fields);
