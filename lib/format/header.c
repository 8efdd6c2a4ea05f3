#include "format/header.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "format/header_check.h"

/* Decoding. A header is judged in the order in which its parts give each other meaning:
 * magic and version, header length, feature bits, fields, extensions, backing name. */

#define COMPRESSION_TYPE_OFF 104

int header_probe(const void *start, size_t n, uint64_t *cluster_size, struct err *e)
{
	struct rd r = rd_over(start, n);
	uint32_t magic = rd_be32(&r), version = rd_be32(&r), cluster_bits;

	/* Scripts look for exactly these words at the end of the line. */
	if (magic != QCOW2_MAGIC)
		return err_set(e, ERR_CORRUPT, "Image is not in qcow2 format");
	if (!r.failed && version != 2 && version != 3)
		return err_set(e, ERR_UNSUPPORTED, "unsupported qcow2 version %" PRIu32,
			       version);
	rd_bytes(&r, 12);
	cluster_bits = rd_be32(&r);
	if (r.failed || n < HEADER_PROBE_BYTES)
		return err_set(e, ERR_CORRUPT, "header is cut short after %zu bytes", n);
	if (cluster_bits < CLUSTER_BITS_MIN || cluster_bits > CLUSTER_BITS_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "unsupported cluster size of 2^%" PRIu32 " bytes",
			       cluster_bits);
	*cluster_size = UINT64_C(1) << cluster_bits;
	return 0;
}

/* All the fields, in their order; header_encode.c has the mirror image. */
static void fields_decode(struct rd *r, struct header *h)
{
	rd_be32(r); /* magic */
	h->version = rd_be32(r);
	h->backing_off = rd_be64(r);
	h->backing_len = rd_be32(r);
	h->cluster_bits = rd_be32(r);
	h->size = rd_be64(r);
	h->crypt_method = rd_be32(r);
	h->l1_size = rd_be32(r);
	h->l1_table_off = rd_be64(r);
	h->refcount_table_off = rd_be64(r);
	h->refcount_table_clusters = rd_be32(r);
	h->nb_snapshots = rd_be32(r);
	h->snapshots_off = rd_be64(r);
	h->refcount_order = 4;
	h->header_length = HEADER_LENGTH_V2;
	if (h->version == 2)
		return;
	h->incompatible_features = rd_be64(r);
	h->compatible_features = rd_be64(r);
	h->autoclear_features = rd_be64(r);
	h->refcount_order = rd_be32(r);
	h->header_length = rd_be32(r);
	if (h->header_length > COMPRESSION_TYPE_OFF)
		h->compression_type = rd_u8(r);
	if (h->header_length > HEADER_LENGTH_CURRENT) {
		rd_bytes(r, HEADER_LENGTH_CURRENT - COMPRESSION_TYPE_OFF - 1);
		h->unknown_fields = rd_bytes(r, h->header_length - HEADER_LENGTH_CURRENT);
	}
}

static int length_check(const struct header *h, const struct rd *r, struct err *e)
{
	if (h->version != 2 && !(r->failed && r->n < HEADER_LENGTH_V3_MIN) &&
	    (h->header_length < HEADER_LENGTH_V3_MIN ||
	     h->header_length > UINT64_C(1) << h->cluster_bits))
		return err_set(e, ERR_CORRUPT, "header length of %" PRIu32 " bytes",
			       h->header_length);
	if (r->failed || h->header_length > r->n)
		return err_set(e, ERR_CORRUPT, "header is cut short after %zu bytes", r->n);
	return 0;
}

/* The list ends where the name begins, or with the cluster; a file may end even earlier. */
static struct rd extension_cursor(const uint8_t *buf, size_t n, const struct header *h)
{
	uint64_t end = h->backing_off ? h->backing_off : UINT64_C(1) << h->cluster_bits;

	end = MIN(end, n);
	return rd_over(buf + h->header_length,
		       end < h->header_length ? 0 : end - h->header_length);
}

/* Puts the names that the image itself has for the unknown bits into the message (2.7). The
 * list is searched as far as it can be read: whatever else is wrong with this header, we
 * cannot tell without knowing the feature. */
static int features_refuse(const uint8_t *buf, size_t n, const struct header *h,
			   struct err *e)
{
	uint64_t unknown = h->incompatible_features & ~INCOMPATIBLE_KNOWN;
	struct rd r = extension_cursor(buf, n, h);
	struct err ignored = ERR_INIT;
	struct bytes table = { NULL, 0 };
	char names[sizeof e->text / 2] = "";
	struct header_ext x;
	size_t used = 0;

	while (header_ext_next(&r, &x, &ignored) > 0)
		if (x.type == EXT_FEATURE_TABLE)
			table = x.data;
	for (unsigned bit = 0; bit < 64; bit++) {
		struct bytes name = feature_table_find(table, FEATURE_INCOMPATIBLE, bit);
		char text[4 * FEATURE_NAME_BYTES + 1];

		if (!(unknown >> bit & 1) || !name.n)
			continue;
		text_escape(name.p, name.n, text, sizeof text);
		if (strlen(text) + 3 > sizeof names - used)
			break; /* the rest goes by number */
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
					 used ? ", " : "", text);
		unknown &= ~(UINT64_C(1) << bit);
	}
	if (!unknown)
		return err_set(e, ERR_UNSUPPORTED, "unsupported qcow2 features: %s", names);
	return err_set(
	    e, ERR_UNSUPPORTED,
	    "unsupported qcow2 features: %s%sunknown incompatible bits 0x%" PRIx64, names,
	    used ? ", " : "", unknown);
}

static int bitmaps_take(struct header *h, struct bytes data, struct err *e)
{
	struct err ignored = ERR_INIT;
	bool in_force = h->autoclear_features & AUTOCLEAR_BITMAPS;

	if (h->has_bitmaps_ext)
		return err_set(e, ERR_CORRUPT, "more than one bitmaps extension");
	/* Without the autoclear bit the extension is a remnant, and nothing in it counts
	 * (9.4). */
	if (!in_force && data.n == EXT_BITMAPS_BYTES)
		e = &ignored;
	if (bitmaps_ext_decode(data, &h->bitmaps, e) < 0 ||
	    header_table_check(h, "bitmap directory", h->bitmaps.directory_off,
			       h->bitmaps.directory_len, BITMAP_DIRECTORY_BYTES_MAX, e) < 0)
		return err_is(&ignored) ? 0 : -1;
	h->has_bitmaps_ext = true;
	return 0;
}

static int crypto_take(struct header *h, struct bytes data, struct err *e)
{
	if (h->has_crypto_ext)
		return err_set(e, ERR_CORRUPT, "more than one crypto header extension");
	if (h->crypt_method != CRYPT_LUKS)
		return err_set(e, ERR_CORRUPT,
			       "crypto header extension with encryption method %" PRIu32,
			       h->crypt_method);
	h->has_crypto_ext = true;
	if (crypto_ext_decode(data, &h->crypto, e) < 0)
		return -1;
	return header_table_check(h, "crypto header", h->crypto.header_off,
				  h->crypto.header_len, FILE_OFFSET_MAX, e);
}

static int extension_take(struct header *h, const struct header_ext *x, struct err *e)
{
	switch (x->type) {
	case EXT_BACKING_FORMAT:
		h->backing_format = x->data;
		return 0;
	case EXT_FEATURE_TABLE:
		h->feature_table = x->data;
		return 0;
	case EXT_DATA_FILE:
		h->data_file_name = x->data;
		h->has_data_file_name = true;
		return 0;
	case EXT_BITMAPS:
		return bitmaps_take(h, x->data, e);
	case EXT_CRYPTO_HEADER:
		return crypto_take(h, x->data, e);
	default:
		return 0; /* stays in h->extensions */
	}
}

static int extensions_decode(const uint8_t *buf, size_t n, struct header *h, struct err *e)
{
	struct rd r = extension_cursor(buf, n, h);
	struct header_ext x;
	int more;

	h->extensions.p = r.base;
	while ((more = header_ext_next(&r, &x, e)) > 0) {
		if (extension_take(h, &x, e) < 0)
			return -1;
		h->extensions.n = r.pos;
	}
	if (more < 0)
		return -1;
	if (h->crypt_method == CRYPT_LUKS && !h->has_crypto_ext)
		return err_set(e, ERR_CORRUPT,
			       "encryption method 2 without a crypto header extension");
	return 0;
}

int header_decode(const void *buf, size_t n, struct header *h, struct err *e)
{
	struct rd r = rd_over(buf, n);
	uint64_t cluster_size = 0;

	*h = (struct header){ 0 };
	if (header_probe(buf, n, &cluster_size, e) < 0)
		return -1;
	n = MIN(n, cluster_size);
	r.n = n;
	fields_decode(&r, h);
	if (length_check(h, &r, e) < 0)
		return -1;
	if (h->incompatible_features & ~INCOMPATIBLE_KNOWN)
		return features_refuse(buf, n, h, e);
	if (header_fields_check(h, n, e) < 0 || extensions_decode(buf, n, h, e) < 0)
		return -1;
	if (h->backing_off && h->backing_len)
		h->backing_name = (struct bytes){ (const uint8_t *)buf + h->backing_off,
						   h->backing_len };
	return 0;
}

struct geom header_geom(const struct header *h)
{
	struct geom g = {
		.version = (uint8_t)h->version,
		.cluster_bits = (uint8_t)h->cluster_bits,
		.refcount_order = (uint8_t)h->refcount_order,
		.subclusters = h->incompatible_features & INCOMPATIBLE_EXTENDED_L2,
		.data_file = h->incompatible_features & INCOMPATIBLE_DATA_FILE,
		.disk_size = align_down(h->size, SECTOR_SIZE),
	};

	geom_derive(&g);
	return g;
}
