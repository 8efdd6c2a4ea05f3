#pragma once
/* Random numbers that follow from a seed, and layouts that follow from them, or from a table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/create.h"

static uint64_t model_seed;

static inline uint64_t below(uint64_t n)
{
	model_seed = model_seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (model_seed >> 33) % n;
}

static inline bool one_in(unsigned n)
{
	return below(n) == 0;
}

static inline struct bytes model_passphrase(void)
{
	return (struct bytes){ (const uint8_t *)"secret", 6 };
}

struct model_layout {
	const char *name;
	struct create_options o; /* 0 is as good as the default */
};

#define LUKS { .method = CRYPT_LUKS, .cipher_alg = "aes-128", .cipher_mode = "cbc", .iter_ms = 1 }
#define AES  { .method = CRYPT_AES }

static const struct model_layout model_layouts[] = {
	{ "v2", { .version = 2 } },
	{ "v2_tiny", { .version = 2, .cluster_bits = 9 } },
	{ "v3", { .version = 3 } },
	{ "tiny", { .cluster_bits = 9 } },
	{ "large", { .cluster_bits = 21 } },
	{ "narrow", { .cluster_bits = 12, .refcount_order = 0 } },
	{ "wide", { .cluster_bits = 12, .refcount_order = 6 } },
	{ "wide_tiny", { .cluster_bits = 9, .refcount_order = 6 } },
	{ "extended", { .extended_l2 = true } },
	{ "extended_small", { .cluster_bits = 14, .extended_l2 = true } },
	{ "zstd", { .cluster_bits = 12, .compression = COMPRESSION_ZSTD } },
	{ "lazy", { .cluster_bits = 12, .lazy_refcounts = true } },
	{ "data_file", { .cluster_bits = 12, .data_file = "data.raw" } },
	{ "raw_data_file", { .data_file = "data.raw", .data_file_raw = true } },
	{ "luks", { .encryption = LUKS } },
	{ "luks_v2", { .version = 2, .cluster_bits = 12, .encryption = LUKS } },
	{ "luks_tiny", { .cluster_bits = 9, .encryption = LUKS } },
	{ "luks_extended", { .cluster_bits = 14, .extended_l2 = true, .encryption = LUKS } },
	{ "luks_data_file", { .cluster_bits = 12, .data_file = "data.raw", .encryption = LUKS } },
	{ "aes", { .cluster_bits = 12, .encryption = AES } },
	{ "aes_v2", { .version = 2, .encryption = AES } },
};
#define MODEL_LAYOUTS (sizeof model_layouts / sizeof *model_layouts)

/* What some_options() gives; NULL: anything. */
static const struct model_layout *model_layout;

/* The layout of a round: of two rounds one has any, the other the next of the table. MODEL_LAYOUT names
 * the one that all have, or says "each": they have those of the table alone. */
static inline void model_layout_choose(uint64_t round, bool encrypted)
{
	const char *name = getenv("MODEL_LAYOUT");

	if (name && !strcmp(name, "each"))
		round = 2 * round + 1;
	model_layout = round % 2 ? &model_layouts[round / 2 % MODEL_LAYOUTS] : NULL;
	for (size_t i = 0; name && i < MODEL_LAYOUTS; i++)
		if (!strcmp(name, model_layouts[i].name))
			model_layout = &model_layouts[i];
	if (model_layout && model_layout->o.encryption.method && !encrypted)
		model_layout = NULL;
}

static inline bool may_compress(const struct create_options *o)
{
	return !o->data_file && !o->encryption.method;
}

static inline struct create_options layout_options(bool backing)
{
	struct create_options o = model_layout->o, usual = CREATE_OPTIONS_DEFAULT;

	o.version = o.version ? o.version : usual.version;
	if (!o.refcount_order && strcmp(model_layout->name, "narrow"))
		o.refcount_order = usual.refcount_order;
	o.cluster_bits = o.cluster_bits ? o.cluster_bits : usual.cluster_bits;
	if (backing)
		o.data_file_raw = false;
	if (o.encryption.method)
		o.encryption.passphrase = model_passphrase();
	return o;
}

/* Options that go together. */
static inline struct create_options some_options(bool backing)
{
	static const uint8_t bits[] = { 9, 9, 10, 11, 12, 12, 13, 14, 14, 15, 16, 16, 17, 18, 21 };
	struct create_options o = CREATE_OPTIONS_DEFAULT;

	if (model_layout)
		return layout_options(backing);
	o.cluster_bits = bits[below(sizeof bits)];
	o.version = one_in(5) ? 2 : 3;
	if (o.version < 3)
		return o;
	o.refcount_order = (unsigned)below(7);
	o.extended_l2 = o.cluster_bits >= CLUSTER_BITS_MIN_EXTENDED && one_in(2);
	o.compression = one_in(2) ? COMPRESSION_ZSTD : COMPRESSION_ZLIB;
	o.lazy_refcounts = one_in(4);
	if (one_in(5)) {
		o.data_file = "data.raw";
		o.data_file_raw = !backing && one_in(2);
	}
	if (one_in(4) && (!backing || o.extended_l2))
		o.preallocation = (enum preallocation)below(4);
	return o;
}
