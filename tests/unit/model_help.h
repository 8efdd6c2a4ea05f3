#pragma once
/* What the model test plays with: a disk as a plain array of bytes, the same disk as files, and
 * the questions whether both are the same. Everything follows from one seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/align.h"
#include "image/builder.h"
#include "image/disk.h"
#include "ops/check.h"
#include "ops/convert.h"

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

struct model {
	uint8_t *bytes; /* zeros behind `size` up to the next sector */
	uint64_t size;
};

/* Lengths of all magnitudes, most of them aligned to something. */
static inline uint64_t some_length(uint64_t most)
{
	uint64_t n = UINT64_C(1) << below(18), unit = UINT64_C(512) << (below(8) & below(8));

	n = one_in(9) ? below(n) + 1 : align_up(n, unit);
	return MIN(n, most);
}

enum filling { FILL_ZERO, FILL_NOISE, FILL_TEXT, FILL_SPECK, FILLINGS };

static inline void model_fill_range(struct model *m, uint64_t at, uint64_t len, enum filling how)
{
	memset(m->bytes + at, how == FILL_TEXT ? 'a' + (int)below(26) : 0, len);
	if (how == FILL_SPECK)
		m->bytes[at + below(len)] = 1;
	for (uint64_t i = 0; how == FILL_NOISE && i < len; i++)
		m->bytes[at + i] = (uint8_t)below(256);
}

static inline struct model model_new(uint64_t size)
{
	struct model m = { calloc(1, align_up(size, SECTOR_SIZE) + 1), size };

	for (uint64_t at = 0; at < size;) {
		uint64_t len = some_length(size - at);

		model_fill_range(&m, at, len, (enum filling)below(FILLINGS));
		at += len;
	}
	return m;
}

/* As a raw file, with holes. */
static inline bool model_save(const struct model *m, const char *path)
{
	struct err e = ERR_INIT;
	struct file *f = file_open(path, FILE_WRITE | FILE_CREATE, &e);
	bool good = f && file_truncate(f, 0, &e) == 0 && file_truncate(f, m->size, &e) == 0;

	for (uint64_t at = 0; good && at < m->size; at += 4096) {
		size_t n = (size_t)MIN(m->size - at, 4096);
		bool any = one_in(20);

		for (size_t i = 0; i < n; i++)
			any |= m->bytes[at + i] != 0;
		good = !any || file_write_at(f, at, m->bytes + at, n, &e) == 0;
	}
	file_drop(f);
	return good;
}

static inline struct disk *disk_of(const char *path, enum image_format format, unsigned flags,
				   struct err *e)
{
	struct disk_options o = { .flags = flags };
	struct spec s;
	struct disk *d = spec_path(&s, path, format) ? disk_open(&s, &o, e) : NULL;

	spec_fini(&s);
	return d;
}

/* Reads the disk in pieces of odd lengths, and by its extents, and compares. */
static inline bool disk_is(const char *path, enum image_format format, const struct model *m,
			   struct err *e)
{
	struct disk *d = disk_of(path, format, one_in(2) ? DISK_HOLES : 0, e);
	struct disk_reader *r = d ? disk_reader_new(d, e) : NULL;
	uint64_t size = align_up(m->size, SECTOR_SIZE);
	bool same = r && disk_size(d) == size, by_extent = one_in(2);
	uint8_t *buf = malloc(size + 1);

	for (uint64_t at = 0; same && at < size;) {
		struct extent x = { .len = some_length(size - at) };

		if (by_extent && disk_next(d, at, size - at, &x, e) < 0)
			same = false;
		else if (by_extent && x.reads_zero)
			memset(buf + at, 0, x.len);
		else if (by_extent)
			same = disk_read_extent(r, &x, buf + at, e) == 0;
		else
			same = disk_read(r, at, buf + at, x.len, e) == 0;
		at += x.len;
	}
	same = same && !memcmp(buf, m->bytes, size);
	free(buf);
	disk_reader_free(r);
	disk_close(d);
	return same;
}

static inline void finding_show(void *arg, const struct finding *f)
{
	char text[FINDING_TEXT_MAX];

	printf("# %s\n", finding_text(f, text));
}

/* Whether the check finds nothing at all in the image. */
static inline bool image_is_clean(const char *path, struct err *e)
{
	struct check_options o = { .found = finding_show };
	struct check_result r;
	struct image *img = NULL;
	struct spec s;
	bool clean = spec_path(&s, path, FORMAT_QCOW2) && check_open(&s, NULL, &img, e) == 0 && img &&
		     check_image(img, &o, &r, e) == 0 && !r.corruptions && !r.leaks &&
		     !r.check_errors;

	image_close(img);
	spec_fini(&s);
	return clean;
}

/* Options that go together. */
static inline struct create_options some_options(bool backing)
{
	static const uint8_t bits[] = { 9, 9, 10, 11, 12, 12, 13, 14, 14, 15, 16, 16, 17, 18, 21 };
	struct create_options o = CREATE_OPTIONS_DEFAULT;

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
