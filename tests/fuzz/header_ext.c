#include "fuzz.h"

#include "format/header_ext.h"

/* The data of an extension, under every meaning that it can have. */
static void judge(struct bytes data)
{
	uint8_t out[EXT_BITMAPS_BYTES];
	struct wr w = wr_over(out, sizeof out);
	struct err e = ERR_INIT;
	struct bitmaps_ext b;
	struct crypto_ext c;

	if (bitmaps_ext_decode(data, &b, &e) == 0) {
		bitmaps_ext_encode(&w, &b);
		AGREE(!w.failed && fuzz_same(data, (struct bytes){ out, w.pos }));
	}
	w = wr_over(out, sizeof out);
	if (crypto_ext_decode(data, &c, &e) == 0) {
		crypto_ext_encode(&w, &c);
		AGREE(!w.failed && fuzz_same(data, (struct bytes){ out, w.pos }));
	}
	for (unsigned bit = 0; bit < 64; bit++)
		AGREE(feature_table_find(data, FEATURE_INCOMPATIBLE, bit).n <= FEATURE_NAME_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_over(data, size), s;
	struct err e = ERR_INIT;
	struct header_ext x, y;
	uint8_t *out = malloc(size + 16);
	struct wr w = wr_over(out, size + 16);
	int more;

	AGREE(out);
	while ((more = header_ext_next(&r, &x, &e)) > 0) {
		judge(x.data);
		header_ext_encode(&w, &x);
	}
	header_ext_encode(&w, &(struct header_ext){ EXT_END });
	AGREE(!w.failed);
	if (more < 0)
		fuzz_refused(&e);
	r = rd_over(data, size);
	s = rd_over(out, w.pos);
	e = ERR_INIT;
	while (header_ext_next(&r, &x, &e) > 0) {
		AGREE(header_ext_next(&s, &y, &e) == 1 && x.type == y.type);
		AGREE(fuzz_same(x.data, y.data));
	}
	e = ERR_INIT;
	AGREE(header_ext_next(&s, &y, &e) == 0);
	free(out);
	return 0;
}
