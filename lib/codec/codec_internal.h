#pragma once
#include <stdbool.h>

#include "config.h"

#include "codec/codec.h"

/* What a codec is to codec.c. The arguments are those of the public functions, with n >= 2
 * for pack. A codec embeds its struct codec first. */
struct codec_ops {
	size_t (*pack)(struct codec *c, const uint8_t *in, size_t n, uint8_t *out);
	int (*unpack)(struct codec *c, const uint8_t *in, size_t in_len, uint8_t *out, size_t n,
		      struct err *e);
	size_t (*memory)(const struct codec *c); /* NULL: little */
	void (*free)(struct codec *c);
};

struct codec {
	const struct codec_ops *ops;
};

/* `accelerate` is ignored where there is no accelerator. What a codec accepts and refuses
 * does not depend on it, what a default level packs does. */
struct codec *deflate_new(int level, bool accelerate, struct err *e);
struct codec *zstd_new(int level, struct err *e);

/* What a cluster looks like at a glance: enough to choose a method by, at about a hundredth
 * of the price of compressing. */
enum sample_kind {
	SAMPLE_TEXT,
	SAMPLE_FLAT,   /* all byte values alike: compressed or encrypted already */
	SAMPLE_SPARSE, /* mostly one value */
	SAMPLE_MIXED,
};

enum sample_kind sample_kind(const uint8_t *in, size_t n);

#if HAVE_ISAL
struct isal;

struct isal *isal_new(void);
void isal_free(struct isal *a);
size_t isal_pack(struct isal *a, const uint8_t *in, size_t n, uint8_t *out);
/* True when the stream is whole and holds exactly n bytes. False is no verdict: ask zlib. */
bool isal_unpack(struct isal *a, const uint8_t *in, size_t in_len, uint8_t *out, size_t n);
#endif
