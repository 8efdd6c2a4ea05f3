#include "image/packer.h"

#include <stdlib.h>

#include "codec/codec.h"

struct packer {
	struct codec *codec;
	size_t cluster_size;
};

struct packer *packer_new(size_t cluster_size, enum compression_type type, int level,
			  struct err *e)
{
	bool zstd = type == COMPRESSION_ZSTD;
	struct packer *p = calloc(1, sizeof *p);

	if (!p) {
		err_nomem(e);
		return NULL;
	}
	p->cluster_size = cluster_size;
	p->codec = codec_new(zstd ? CODEC_ZSTD : CODEC_DEFLATE, level, e);
	if (p->codec)
		return p;
	free(p);
	return NULL;
}

void packer_free(struct packer *p)
{
	if (!p)
		return;
	codec_free(p->codec);
	free(p);
}

int packer_memory(struct packer *p, size_t *bytes, struct err *e)
{
	uint8_t *in = calloc(2, p->cluster_size);

	if (!in)
		return err_nomem(e);
	codec_pack(p->codec, in, p->cluster_size, in + p->cluster_size);
	*bytes = codec_memory(p->codec);
	free(in);
	return 0;
}

uint32_t packer_pack(struct packer *p, const void *in, void *out)
{
	return (uint32_t)codec_pack(p->codec, in, p->cluster_size, out);
}
