#pragma once
/* For tests of the header: one cluster to lay a header into, to bend and to decode again. */
#include "base/bytes.h"
#include "bytes_help.h"
#include "check.h"
#include "format/header.h"

static uint8_t cluster[CLUSTER_SIZE_MAX];

/* Decodes from memory that ends after n bytes. */
static inline int decodes(const uint8_t *bytes, size_t n, struct err *e)
{
	uint8_t *exact = exact_copy(bytes, n);
	struct header h;
	int ret;

	*e = ERR_INIT;
	ret = header_decode(exact, n, &h, e);
	free(exact);
	return ret;
}

/* A small sound image to bend; the struct and the buffer say the same. */
static inline struct header sound(void)
{
	return (struct header){
		.version = 3,
		.cluster_bits = 16,
		.size = 64 << 20,
		.l1_size = 1,
		.l1_table_off = 0x30000,
		.refcount_table_off = 0x10000,
		.refcount_table_clusters = 1,
		.refcount_order = 4,
		.header_length = HEADER_LENGTH_CURRENT,
	};
}

/* Puts the header into `cluster`, the way a writer would. */
static inline void lay(const struct header *h)
{
	struct err e = ERR_INIT;

	CHECK(header_encode(cluster, h, &e) == 0);
}

/* What decoding `cluster` says; "" when it is accepted. */
static inline const char *verdict(enum err_code *code)
{
	static struct err e;

	decodes(cluster, sizeof cluster, &e);
	if (code)
		*code = e.code;
	return e.text;
}

static inline bool refused(enum err_code code, const char *says)
{
	struct err e;

	return decodes(cluster, sizeof cluster, &e) == -1 && err_says(&e, code, says);
}

static inline bool accepted(void)
{
	const char *why = verdict(NULL);

	if (*why)
		printf("# %s\n", why);
	return !*why;
}

/* Bends a field of `cluster`. */
static inline void put(unsigned at, unsigned width, uint64_t value)
{
	for (unsigned i = 0; i < width; i++)
		cluster[at + i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}
