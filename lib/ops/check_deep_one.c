/* One compressed cluster by itself. */
#include "ops/check_internal.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "codec/codec.h"

bool check_unpacks(const struct check *c, uint64_t host, uint32_t len)
{
	size_t size = (size_t)geom_cluster_size(c->geom);
	enum codec_type type =
		c->header->compression_type == COMPRESSION_ZSTD ? CODEC_ZSTD : CODEC_DEFLATE;
	struct err ignored = ERR_INIT;
	struct codec *codec = codec_new(type, CODEC_LEVEL_DEFAULT, &ignored);
	AUTO_FREE uint8_t *in = malloc(len);
	AUTO_FREE uint8_t *out = malloc(size);
	bool unpacked = true;

	if (codec && in && out && file_read_padded(c->file, host, in, len, NULL, &ignored) == 0)
		unpacked = codec_unpack(codec, in, len, out, size, &ignored) == 0;
	codec_free(codec);
	return unpacked;
}
