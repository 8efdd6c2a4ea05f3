#include "codec/codec.h"

#include "codec/codec_internal.h"

#define DEFLATE_LEVEL_MAX 9
#define ZSTD_LEVEL_MAX 19

struct codec *codec_new(enum codec_type type, int level, struct err *e)
{
	int max = type == CODEC_DEFLATE ? DEFLATE_LEVEL_MAX : ZSTD_LEVEL_MAX;

	if (level != CODEC_LEVEL_DEFAULT && (level < 1 || level > max)) {
		err_set(e, ERR_INVALID, "compression level %d: %s has levels 1 to %d", level,
			codec_name(type), max);
		return NULL;
	}
	return type == CODEC_DEFLATE ? deflate_new(level, true, e) : zstd_new(level, e);
}

void codec_free(struct codec *c)
{
	if (c)
		c->ops->free(c);
}

size_t codec_pack(struct codec *c, const void *in, size_t n, void *out)
{
	return n < 2 ? 0 : c->ops->pack(c, in, n, out);
}

size_t codec_memory(const struct codec *c)
{
	return c->ops->memory ? c->ops->memory(c) : 0;
}

int codec_unpack(struct codec *c, const void *in, size_t in_len, void *out, size_t n,
		 struct err *e)
{
	return c->ops->unpack(c, in, in_len, out, n, e);
}

const char *codec_name(enum codec_type type)
{
	return type == CODEC_DEFLATE ? "zlib" : "zstd";
}
