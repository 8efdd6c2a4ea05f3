#include "format/header.h"

#include <assert.h>

static void fields_encode(struct wr *w, const struct header *h, uint64_t backing_off)
{
	wr_be32(w, QCOW2_MAGIC);
	wr_be32(w, h->version);
	wr_be64(w, backing_off);
	wr_be32(w, (uint32_t)h->backing_name.n);
	wr_be32(w, h->cluster_bits);
	wr_be64(w, h->size);
	wr_be32(w, h->crypt_method);
	wr_be32(w, h->l1_size);
	wr_be64(w, h->l1_table_off);
	wr_be64(w, h->refcount_table_off);
	wr_be32(w, h->refcount_table_clusters);
	wr_be32(w, h->nb_snapshots);
	wr_be64(w, h->snapshots_off);
	if (h->version == 2)
		return;
	wr_be64(w, h->incompatible_features);
	wr_be64(w, h->compatible_features);
	wr_be64(w, h->autoclear_features);
	wr_be32(w, h->refcount_order);
	wr_be32(w, HEADER_LENGTH_CURRENT + (uint32_t)h->unknown_fields.n);
	wr_u8(w, h->compression_type);
	wr_zero(w, 7);
	wr_bytes(w, h->unknown_fields);
}

static void string_encode(struct wr *w, uint32_t type, struct bytes data)
{
	header_ext_encode(w, &(struct header_ext){ type, data });
}

static void pointers_encode(struct wr *w, const struct header *h, uint32_t type)
{
	uint8_t data[FEATURE_TABLE_BYTES];
	struct wr inner = wr_over(data, sizeof data);

	if (type == EXT_CRYPTO_HEADER)
		crypto_ext_encode(&inner, &h->crypto);
	else if (type == EXT_BITMAPS)
		bitmaps_ext_encode(&inner, &h->bitmaps);
	else
		feature_table_encode(&inner);
	string_encode(w, type, (struct bytes){ data, inner.pos });
}

/* The order is the one that other writers use (3.4); nobody may depend on it, but a header
 * that looks as always is easier to compare. */
static int extensions_encode(struct wr *w, const struct header *h,
			     const struct header_form *form, struct err *e)
{
	struct rd r = rd_over(h->extensions.p, h->extensions.n);
	struct header_ext x;
	int more;

	if (h->backing_format.n)
		string_encode(w, EXT_BACKING_FORMAT, h->backing_format);
	if (h->has_data_file_name)
		string_encode(w, EXT_DATA_FILE, h->data_file_name);
	if (h->has_crypto_ext)
		pointers_encode(w, h, EXT_CRYPTO_HEADER);
	if (h->version > 2 && h->cluster_bits > 12 && !form->no_feature_table)
		pointers_encode(w, h, EXT_FEATURE_TABLE);
	if (h->has_bitmaps_ext)
		pointers_encode(w, h, EXT_BITMAPS);
	while ((more = header_ext_next_unknown(&r, &x, e)) > 0)
		header_ext_encode(w, &x);
	string_encode(w, EXT_END, (struct bytes){ NULL, 0 });
	return more;
}

/* Where the name goes; the room of `list` behind its end is passed over. */
static size_t name_place(struct wr *list, size_t list_off, const struct header_form *form)
{
	size_t here = list_off + list->pos;

	if (!form->name_off)
		return here;
	if (form->name_off < here)
		list->failed = true;
	else
		wr_room(list, form->name_off - here);
	return form->name_off;
}

int header_encode_as(void *buf, const struct header *h, const struct header_form *form,
		     struct err *e)
{
	size_t cluster_size = (size_t)1 << h->cluster_bits;
	size_t fixed = h->version == 2 ? HEADER_LENGTH_V2
				       : HEADER_LENGTH_CURRENT + h->unknown_fields.n;
	struct wr fields = wr_over(buf, cluster_size), list;
	size_t name_off;

	assert(h->cluster_bits >= CLUSTER_BITS_MIN && h->cluster_bits <= CLUSTER_BITS_MAX);
	assert(fixed <= cluster_size);
	if (h->backing_name.n > BACKING_NAME_MAX)
		return err_set(e, ERR_INVALID, "backing file name is too long: %zu bytes",
			       h->backing_name.n);
	memset(buf, 0, cluster_size);
	list = wr_over((uint8_t *)buf + fixed, cluster_size - fixed);
	if (extensions_encode(&list, h, form, e) < 0)
		return -1;
	name_off = name_place(&list, fixed, form);
	wr_bytes(&list, h->backing_name);
	fields_encode(&fields, h, h->backing_name.n ? name_off : 0);
	if (list.failed || fields.failed)
		return err_set(
		    e, ERR_INVALID,
		    "header does not fit in a cluster of %zu bytes with a backing file "
		    "name of %zu bytes",
		    cluster_size, h->backing_name.n);
	return 0;
}

int header_encode(void *buf, const struct header *h, struct err *e)
{
	static const struct header_form usual;

	return header_encode_as(buf, h, &usual, e);
}

void header_patch(uint8_t *bytes, const struct header *h, unsigned fields)
{
	if (fields & HEADER_SIZE)
		be64_put(bytes + 24, h->size);
	if (fields & HEADER_L1) {
		be32_put(bytes + 36, h->l1_size);
		be64_put(bytes + 40, h->l1_table_off);
	}
	if (fields & HEADER_REFCOUNTS) {
		be64_put(bytes + 48, h->refcount_table_off);
		be32_put(bytes + 56, h->refcount_table_clusters);
	}
	if (fields & HEADER_SNAPSHOTS) {
		be32_put(bytes + 60, h->nb_snapshots);
		be64_put(bytes + 64, h->snapshots_off);
	}
	if (h->version < 3)
		return;
	if (fields & HEADER_REFCOUNTS)
		be32_put(bytes + 96, h->refcount_order);
	if (fields & HEADER_FEATURES) {
		be64_put(bytes + 72, h->incompatible_features);
		be64_put(bytes + 80, h->compatible_features);
		be64_put(bytes + 88, h->autoclear_features);
	}
}
