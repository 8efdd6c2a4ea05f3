#pragma once
/* Images made by the builder, and seeded damage to them: flipped bits, zeroed, doubled and swapped
 * clusters, cut ends. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "image/builder.h"

static uint64_t seed;

static inline uint64_t next(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 33) % below;
}

/* The layouts that are damaged. */
static inline struct create_options layout_small(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;

	o.size = 64 << 10;
	o.cluster_bits = 9;
	return o;
}

static inline struct create_options layout_version_2(void)
{
	struct create_options o = layout_small();

	o.version = 2;
	o.size *= 2;
	o.cluster_bits = 10;
	return o;
}

static inline struct create_options layout_width(unsigned refcount_order)
{
	struct create_options o = layout_small();

	o.refcount_order = refcount_order;
	return o;
}

static inline struct create_options layout_subclusters(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;

	o.size = 2 << 20;
	o.cluster_bits = 14;
	o.extended_l2 = true;
	return o;
}

struct bytes_owned {
	uint8_t *p;
	size_t n;
};

static inline bool put(struct builder *b, uint64_t guest, uint64_t len, struct err *e)
{
	while (len) {
		uint64_t host, run;

		if (builder_assign(b, guest, len, &host, &run, e) < 0)
			return false;
		uint8_t *data = malloc(run);

		memset(data, 0xaa, run);
		int ret = builder_write(b, guest, host, data, run, e);

		free(data);
		if (ret < 0)
			return false;
		guest += run;
		len -= run;
	}
	return true;
}

/* Some data, some holes, some zeros, some that pretend to be compressed. */
static inline struct bytes_owned image_make(const struct create_options *o)
{
	struct err e = ERR_INIT;
	struct bytes_owned out = { NULL, 0 };
	struct file *f = file_mem_new(NULL, 0, &e);
	struct builder *b = builder_new(f, o, &e);
	uint64_t size = UINT64_C(1) << o->cluster_bits;
	bool good = b && put(b, 0, 5 * size, &e);

	good = good && builder_put_packed(b, 6 * size, "packed", 6, &e) == 0;
	good = good && builder_put_packed(b, 7 * size, "packed too", 10, &e) == 0;
	if (o->version >= 3)
		good = good && builder_put_zero(b, 8 * size, size, &e) == 0;
	good = good && put(b, 70 * size, size, &e) && put(b, 72 * size, 3 * size, &e);
	good = good && builder_finish(b, false, &e) == 0;
	builder_free(b);
	out.n = file_size(f);
	out.p = malloc(out.n);
	good = good && file_read_at(f, 0, out.p, out.n, &e) == 0;
	file_drop(f);
	CHECK(good);
	return out;
}

/* One act of damage; *n may become less. */
static inline void damage(uint8_t *p, size_t *n, size_t cluster)
{
	size_t clusters = *n / cluster, at = next(clusters) * cluster, from = next(clusters) * cluster;

	switch (next(12)) {
	case 0:
		memset(p + at, 0, cluster);
		break;
	case 1:
		memmove(p + at, p + from, cluster);
		break;
	case 2:
		*n -= next(cluster * 2 < *n / 2 ? cluster * 2 : *n / 2);
		break;
	case 3:
		memset(p + next(*n), 0xff, 1);
		break;
	default: /* in the first bytes of a cluster there is most to hit */
		p[next(2) ? next(*n) : at + next(112)] ^= (uint8_t)(1u << next(8));
		break;
	}
}
