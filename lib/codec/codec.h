#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Compressing and decompressing one cluster at a time (6). A codec holds its contexts and
 * is used by one thread; each worker has its own for life. */
struct codec;

enum codec_type { CODEC_DEFLATE, CODEC_ZSTD };

#define CODEC_LEVEL_DEFAULT 0

/* level: CODEC_LEVEL_DEFAULT, or 1..9 for deflate, 1..19 for zstd. The default of deflate
 * uses the accelerator where there is one; a stated level is always zlib's own.
 * NULL with ERR_NOMEM, or ERR_INVALID for a level out of range. */
struct codec *codec_new(enum codec_type type, int level, struct err *e);
void codec_free(struct codec *c);

/* Compresses the cluster in[0..n) into out, which has room for n bytes; n <= 2 MiB. Returns
 * the compressed length, 1..n-1, or 0 when the cluster does not get smaller (store it as it
 * is). Never fails otherwise. Deflate streams keep match distances within a 12-bit window
 * and end with a final block. The same input gives the same bytes always, whatever the codec
 * compressed before. */
size_t codec_pack(struct codec *c, const void *in, size_t n, void *out);

/* Bytes that its context for packing takes, once it has packed a cluster; 0: less than 1 MiB. */
size_t codec_memory(const struct codec *c);

/* Decompresses in[0..in_len) until exactly n bytes were produced; what is left of the input
 * is ignored. Accepts and rejects exactly what (6.2) says. ERR_CORRUPT otherwise. */
int codec_unpack(struct codec *c, const void *in, size_t in_len, void *out, size_t n,
		 struct err *e);

/* "zlib" and "zstd", as the format's users call them */
const char *codec_name(enum codec_type type);
