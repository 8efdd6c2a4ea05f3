#include "format/header_ext.h"

#include "base/align.h"
#include "format/limits.h"

int header_ext_next(struct rd *r, struct header_ext *x, struct err *e)
{
	size_t at = r->pos;
	uint32_t len;

	if (!rd_left(r))
		return 0;
	x->type = rd_be32(r);
	len = rd_be32(r);
	if (r->failed)
		return err_set(e, ERR_CORRUPT,
			       "header extension list is cut short after %zu bytes", r->n);
	if (x->type == EXT_END)
		return 0;
	x->data = rd_bytes(r, len);
	if (r->failed)
		return err_set(
		    e, ERR_CORRUPT,
		    "header extension 0x%08x, %zu bytes into the list, is too large: "
		    "%u bytes",
		    x->type, at, len);
	/* Counted from the extension, not from the file, since a header length of 105 puts
	 * the list at an odd place; and the last padding may be missing (3.1). */
	rd_bytes(r, MIN(rd_left(r), -(size_t)len % 8));
	return 1;
}

static bool ext_is_known(uint32_t type)
{
	return type == EXT_BACKING_FORMAT || type == EXT_FEATURE_TABLE ||
	       type == EXT_BITMAPS || type == EXT_CRYPTO_HEADER || type == EXT_DATA_FILE;
}

int header_ext_next_unknown(struct rd *r, struct header_ext *x, struct err *e)
{
	int more;

	while ((more = header_ext_next(r, x, e)) > 0 && ext_is_known(x->type))
		;
	return more;
}

void header_ext_encode(struct wr *w, const struct header_ext *x)
{
	wr_be32(w, x->type);
	wr_be32(w, (uint32_t)x->data.n);
	wr_bytes(w, x->data);
	wr_zero(w, -x->data.n % 8);
}

int bitmaps_ext_decode(struct bytes data, struct bitmaps_ext *b, struct err *e)
{
	struct rd r = rd_over(data.p, data.n);
	uint32_t reserved;

	b->nr = rd_be32(&r);
	reserved = rd_be32(&r);
	b->directory_len = rd_be64(&r);
	b->directory_off = rd_be64(&r);
	if (data.n != EXT_BITMAPS_BYTES)
		return err_set(e, ERR_CORRUPT, "bitmaps extension of %zu bytes", data.n);
	if (b->nr == 0 || b->nr > BITMAPS_MAX)
		return err_set(e, ERR_CORRUPT, "bitmaps extension: %u bitmaps", b->nr);
	if (reserved)
		return err_set(e, ERR_CORRUPT, "bitmaps extension: reserved field is 0x%x",
			       reserved);
	if (b->directory_len == 0 || b->directory_len > BITMAP_DIRECTORY_BYTES_MAX)
		return err_set(e, ERR_CORRUPT, "bitmaps extension: directory of %llu bytes",
			       (unsigned long long)b->directory_len);
	if (b->directory_off == 0 || b->directory_off > FILE_OFFSET_MAX - b->directory_len)
		return err_set(e, ERR_CORRUPT, "bitmaps extension: directory at 0x%llx",
			       (unsigned long long)b->directory_off);
	return 0;
}

void bitmaps_ext_encode(struct wr *w, const struct bitmaps_ext *b)
{
	wr_be32(w, b->nr);
	wr_be32(w, 0);
	wr_be64(w, b->directory_len);
	wr_be64(w, b->directory_off);
}

int crypto_ext_decode(struct bytes data, struct crypto_ext *c, struct err *e)
{
	struct rd r = rd_over(data.p, data.n);

	c->header_off = rd_be64(&r);
	c->header_len = rd_be64(&r);
	if (data.n != EXT_CRYPTO_HEADER_BYTES)
		return err_set(e, ERR_CORRUPT, "crypto header extension of %zu bytes",
			       data.n);
	if (c->header_off == 0 || c->header_off > FILE_OFFSET_MAX ||
	    c->header_len > FILE_OFFSET_MAX - c->header_off)
		return err_set(e, ERR_CORRUPT, "crypto header of %llu bytes at 0x%llx",
			       (unsigned long long)c->header_len,
			       (unsigned long long)c->header_off);
	return 0;
}

void crypto_ext_encode(struct wr *w, const struct crypto_ext *c)
{
	wr_be64(w, c->header_off);
	wr_be64(w, c->header_len);
}

struct bytes feature_table_find(struct bytes table, enum feature_word word, unsigned bit)
{
	for (size_t at = 0; table.n - at >= FEATURE_ENTRY_BYTES;
	     at += FEATURE_ENTRY_BYTES) {
		const uint8_t *p = table.p + at;

		if (p[0] == word && p[1] == bit)
			return (struct bytes){ p + 2, strnlen((const char *)p + 2,
							       FEATURE_NAME_BYTES) };
	}
	return (struct bytes){ NULL, 0 };
}

void feature_table_encode(struct wr *w)
{
	static const struct {
		uint8_t word, bit;
		char name[FEATURE_NAME_BYTES];
	} features[] = {
		{ FEATURE_INCOMPATIBLE, 0, "dirty bit" },
		{ FEATURE_INCOMPATIBLE, 1, "corrupt bit" },
		{ FEATURE_INCOMPATIBLE, 2, "external data file" },
		{ FEATURE_INCOMPATIBLE, 3, "compression type" },
		{ FEATURE_INCOMPATIBLE, 4, "extended L2 entries" },
		{ FEATURE_COMPATIBLE, 0, "lazy refcounts" },
		{ FEATURE_AUTOCLEAR, 0, "bitmaps" },
		{ FEATURE_AUTOCLEAR, 1, "raw external data" },
	};

	for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
		wr_u8(w, features[i].word);
		wr_u8(w, features[i].bit);
		wr_bytes(w, (struct bytes){ (const uint8_t *)features[i].name,
					     FEATURE_NAME_BYTES });
	}
}
