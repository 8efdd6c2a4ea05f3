#include "fuzz.h"

#include "format/header.h"

static uint8_t first[CLUSTER_SIZE_MAX], second[CLUSTER_SIZE_MAX];

/* The next extension that has no field of its own; false at the end. */
static bool next_unknown(struct rd *r, struct header_ext *x)
{
	struct err e = ERR_INIT;

	while (header_ext_next(r, x, &e) > 0)
		if (x->type != EXT_BACKING_FORMAT && x->type != EXT_FEATURE_TABLE &&
		    x->type != EXT_BITMAPS && x->type != EXT_CRYPTO_HEADER &&
		    x->type != EXT_DATA_FILE)
			return true;
	AGREE(!err_is(&e));
	return false;
}

static void extensions_agree(const struct header *a, const struct header *b)
{
	struct rd ra = rd_over(a->extensions.p, a->extensions.n);
	struct rd rb = rd_over(b->extensions.p, b->extensions.n);
	struct header_ext xa, xb;

	while (next_unknown(&ra, &xa)) {
		AGREE(next_unknown(&rb, &xb) && xa.type == xb.type);
		AGREE(fuzz_same(xa.data, xb.data));
	}
	AGREE(!next_unknown(&rb, &xb));
	AGREE(a->has_bitmaps_ext == b->has_bitmaps_ext);
	AGREE(a->has_crypto_ext == b->has_crypto_ext);
	AGREE(a->has_data_file_name == b->has_data_file_name);
	AGREE(fuzz_same(a->backing_format, b->backing_format));
	AGREE(fuzz_same(a->data_file_name, b->data_file_name));
	if (a->has_bitmaps_ext)
		AGREE(a->bitmaps.nr == b->bitmaps.nr &&
		      a->bitmaps.directory_len == b->bitmaps.directory_len &&
		      a->bitmaps.directory_off == b->bitmaps.directory_off);
	if (a->has_crypto_ext)
		AGREE(a->crypto.header_off == b->crypto.header_off &&
		      a->crypto.header_len == b->crypto.header_len);
}

static void fields_agree(const struct header *a, const struct header *b)
{
	AGREE(a->version == b->version && a->cluster_bits == b->cluster_bits);
	AGREE(a->size == b->size && a->crypt_method == b->crypt_method);
	AGREE(a->l1_size == b->l1_size && a->l1_table_off == b->l1_table_off);
	AGREE(a->refcount_table_off == b->refcount_table_off);
	AGREE(a->refcount_table_clusters == b->refcount_table_clusters);
	AGREE(a->nb_snapshots == b->nb_snapshots && a->snapshots_off == b->snapshots_off);
	AGREE(a->incompatible_features == b->incompatible_features);
	AGREE(a->compatible_features == b->compatible_features);
	AGREE(a->autoclear_features == b->autoclear_features);
	AGREE(a->refcount_order == b->refcount_order);
	AGREE(a->compression_type == b->compression_type);
	AGREE(fuzz_same(a->unknown_fields, b->unknown_fields));
	AGREE(fuzz_same(a->backing_name, b->backing_name));
}

static void geom_is_sound(const struct header *h)
{
	struct geom g = header_geom(h);

	AGREE(g.cluster_bits >= 9 && g.cluster_bits <= 21 && g.refcount_order <= 6);
	AGREE(g.l2_bits >= 6 && g.disk_size <= h->size && g.disk_size % 512 == 0);
	AGREE(geom_l1_entries(&g, g.disk_size) <= h->l1_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	struct header a, b;

	if (header_decode(data, size, &a, &e) < 0) {
		fuzz_refused(&e);
		return 0;
	}
	geom_is_sound(&a);
	if (header_encode(first, &a, &e) < 0) { /* what filled its cluster may not fit again */
		AGREE(e.code == ERR_INVALID);
		return 0;
	}
	AGREE(header_decode(first, (size_t)1 << a.cluster_bits, &b, &e) == 0);
	fields_agree(&a, &b);
	extensions_agree(&a, &b);
	AGREE(header_encode(second, &b, &e) == 0);
	AGREE(!memcmp(first, second, (size_t)1 << a.cluster_bits));
	return 0;
}
