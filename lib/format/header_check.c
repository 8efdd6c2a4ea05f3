#include "format/header_check.h"

#include <inttypes.h>

static int features_check(const struct header *h, struct err *e)
{
	bool flagged = h->incompatible_features & INCOMPATIBLE_COMPRESSION;

	if (h->compression_type > COMPRESSION_ZSTD)
		return err_set(e, ERR_UNSUPPORTED, "unsupported compression type %u",
			       h->compression_type);
	if (flagged != (h->compression_type != COMPRESSION_ZLIB))
		return err_set(
		    e, ERR_CORRUPT,
		    "compression type is %u, but its incompatible feature bit is %s",
		    h->compression_type, flagged ? "set" : "clear");
	if ((h->incompatible_features & INCOMPATIBLE_EXTENDED_L2) &&
	    h->cluster_bits < CLUSTER_BITS_MIN_EXTENDED)
		return err_set(e, ERR_CORRUPT,
			       "extended L2 entries with clusters of 2^%" PRIu32 " bytes",
			       h->cluster_bits);
	if ((h->autoclear_features & AUTOCLEAR_DATA_FILE_RAW) &&
	    !(h->incompatible_features & INCOMPATIBLE_DATA_FILE))
		return err_set(e, ERR_CORRUPT,
			       "autoclear feature bit 1 promises a raw external data file, "
			       "but the image has no data file");
	if (h->refcount_order > REFCOUNT_ORDER_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "unsupported refcount width of 2^%" PRIu32 " bits",
			       h->refcount_order);
	if (h->crypt_method > CRYPT_LUKS)
		return err_set(e, ERR_UNSUPPORTED, "unsupported encryption method %" PRIu32,
			       h->crypt_method);
	return 0;
}

int header_table_check(const struct header *h, const char *what, uint64_t offset,
		       uint64_t len, uint64_t max, struct err *e)
{
	if (len > max)
		return err_set(e, ERR_CORRUPT, "%s is too large: %" PRIu64 " bytes", what,
			       len);
	if (offset & ((UINT64_C(1) << h->cluster_bits) - 1))
		return err_set(e, ERR_CORRUPT, "%s at 0x%" PRIx64 " is not cluster aligned",
			       what, offset);
	if (offset > FILE_OFFSET_MAX || len > FILE_OFFSET_MAX - offset)
		return err_set(e, ERR_CORRUPT, "%s at 0x%" PRIx64 " is out of range", what,
			       offset);
	return 0;
}

int header_snapshots_check(const struct header *h, struct err *e)
{
	if (h->nb_snapshots > SNAPSHOTS_MAX)
		return err_set(e, ERR_CORRUPT,
			       "snapshot table is too large: %" PRIu32 " entries",
			       h->nb_snapshots);
	return header_table_check(h, "snapshot table", h->snapshots_off, 0, 0, e);
}

static int tables_check(const struct header *h, struct err *e)
{
	struct geom g;
	uint64_t need;

	if (h->size > FILE_OFFSET_MAX)
		return err_set(e, ERR_CORRUPT, "image is too big: %" PRIu64 " bytes",
			       h->size);
	if (header_table_check(h, "L1 table", h->l1_table_off, h->l1_size * UINT64_C(8),
			       L1_BYTES_MAX, e) < 0 ||
	    header_table_check(h, "refcount table", h->refcount_table_off,
			       (uint64_t)h->refcount_table_clusters << h->cluster_bits,
			       REFCOUNT_TABLE_BYTES_MAX, e) < 0)
		return -1;
	g = header_geom(h);
	need = geom_l1_entries(&g, g.disk_size);
	if (h->l1_size < need)
		return err_set(e, ERR_CORRUPT,
			       "L1 table is too small: %" PRIu32
			       " entries, but a disk of %" PRIu64 " bytes needs %" PRIu64,
			       h->l1_size, g.disk_size, need);
	return 0;
}

static int backing_check(const struct header *h, size_t n, struct err *e)
{
	uint64_t cluster_size = UINT64_C(1) << h->cluster_bits;

	if (!h->backing_off)
		return 0;
	if (h->backing_off < h->header_length || h->backing_off > cluster_size)
		return err_set(e, ERR_CORRUPT, "backing file name at 0x%" PRIx64,
			       h->backing_off);
	if (h->backing_len > BACKING_NAME_MAX ||
	    h->backing_len > cluster_size - h->backing_off)
		return err_set(e, ERR_CORRUPT,
			       "backing file name at 0x%" PRIx64 " is too long: %" PRIu32
			       " bytes",
			       h->backing_off, h->backing_len);
	if (h->backing_len && (h->backing_off > n || h->backing_len > n - h->backing_off))
		return err_set(e, ERR_CORRUPT,
			       "backing file name at 0x%" PRIx64
			       " is cut short by the end of "
			       "the file",
			       h->backing_off);
	return 0;
}

int header_fields_check(const struct header *h, size_t n, struct err *e)
{
	if (features_check(h, e) < 0 || tables_check(h, e) < 0)
		return -1;
	return backing_check(h, n, e);
}
