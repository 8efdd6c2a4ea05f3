#pragma once
/* What the model tests play with: a disk as a plain array of bytes, the same disk as files, and
 * the questions whether both are the same. Everything follows from one seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/align.h"
#include "image/disk.h"
#include "image/packer.h"
#include "image/writer.h"
#include "model_layouts.h"
#include "ops/check.h"
#include "ops/convert.h"
#include "ops/create.h"

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

static inline struct model model_copy(const struct model *from)
{
	struct model m = { malloc(from->size + 1), from->size };

	memcpy(m.bytes, from->bytes, from->size);
	return m;
}

/* Another length; zeros behind the old one. */
static inline void model_resize(struct model *m, uint64_t size)
{
	uint8_t *bytes = calloc(1, align_up(size, SECTOR_SIZE) + 1);

	memcpy(bytes, m->bytes, MIN(size, m->size));
	free(m->bytes);
	*m = (struct model){ bytes, size };
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

/* Encrypted images all have the same passphrase. */
static inline bool spec_of(struct spec *s, const char *path, enum image_format format)
{
	bool good = spec_path(s, path, format);

	s->chain_secret = model_passphrase();
	return good;
}

static inline struct disk *disk_with(const char *path, enum image_format format,
				     const struct disk_options *o, struct err *e)
{
	struct spec s;
	struct disk *d = spec_of(&s, path, format) ? disk_open(&s, o, e) : NULL;

	spec_fini(&s);
	return d;
}

static inline struct disk *disk_of(const char *path, enum image_format format, unsigned flags,
				   struct err *e)
{
	struct disk_options o = { .flags = flags, .write_flags = FILE_NO_FLUSH };

	return disk_with(path, format, &o, e);
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

/* The snapshot of that name is as large as `m`, and holds the same. */
static inline bool snapshot_is(const char *path, const char *name, const struct model *m,
			       struct err *e)
{
	struct disk_options o = { .snapshot_name = name };
	struct disk *d = disk_with(path, FORMAT_QCOW2, &o, e);
	struct disk_reader *r = d ? disk_reader_new(d, e) : NULL;
	uint8_t *buf = malloc(m->size + 1);
	bool same = r && disk_size(d) == m->size && disk_read(r, 0, buf, m->size, e) == 0 &&
		    !memcmp(buf, m->bytes, m->size);

	if (!same)
		printf("# snapshot %s differs\n", name);
	free(buf);
	disk_reader_free(r);
	disk_close(d);
	return same;
}

/* --- an image that is open for writing --- */

struct session {
	struct disk *d;
	struct image_writer *w;
};

static inline bool session_open(struct session *s, const char *path, struct err *e)
{
	const struct snapshot_entry *all;
	uint32_t nr;

	*s = (struct session){ disk_of(path, FORMAT_QCOW2, DISK_WRITE, e), NULL };
	/* The snapshots are there for who changes them. */
	if (s->d && image_snapshots(disk_image(s->d, 0), &all, &nr, e) == 0)
		s->w = image_writer_new(s->d, NULL, NULL, e);
	return s->w != NULL;
}

static inline void session_end(struct session *s)
{
	image_writer_free(s->w);
	disk_close(s->d);
}

/* Makes what was written durable, if all was good so far. */
static inline bool session_close(struct session *s, bool good, struct err *e)
{
	good = good && image_writer_finish(s->w, e) == 0;
	session_end(s);
	return good;
}

/* A range to be changed: most begin where tables may tell it apart. */
static inline void some_range(const struct model *m, uint64_t *at, uint64_t *len)
{
	*at = one_in(4) ? below(m->size) : align_down(below(m->size), 4096);
	*len = some_length(m->size - *at);
}

static inline bool write_some(struct image_writer *w, struct model *m, uint64_t at, uint64_t len,
			      struct err *e)
{
	model_fill_range(m, at, len, (enum filling)below(FILLINGS));
	return image_write(w, at, m->bytes + at, len, e) == 0;
}

static inline bool zero_some(struct image_writer *w, struct model *m, uint64_t at, uint64_t len,
			     struct err *e)
{
	memset(m->bytes + at, 0, len);
	return image_write_zeros(w, at, len, one_in(2), e) == 0;
}

/* The whole cluster of *at, packed where that is possible and makes it smaller. */
static inline bool pack_some(struct image_writer *w, const struct create_options *o,
			     struct model *m, uint64_t *at, uint64_t *len, struct err *e)
{
	size_t size = (size_t)1 << o->cluster_bits;
	struct packer *p = packer_new(size, o->compression, 1, e);
	uint8_t *in = calloc(1, size), *out = malloc(size);

	*at = align_down(*at, size);
	*len = MIN(size, m->size - *at);
	model_fill_range(m, *at, *len, one_in(2) ? FILL_TEXT : FILL_SPECK);
	memcpy(in, m->bytes + *at, *len);
	uint32_t n = p ? packer_pack(p, in, out) : 0;
	bool good = n && may_compress(o) ? image_write_packed(w, *at, out, n, e) == 0
					 : image_write(w, *at, in, *len, e) == 0;

	packer_free(p);
	free(in);
	free(out);
	return good;
}

/* --- an image to begin with --- */

static inline uint64_t some_disk_size(void)
{
	return align_up(below(one_in(4) ? 3 << 20 : 300000) + 1, SECTOR_SIZE);
}

/* A copy of what is in s.raw, packed or not. */
static inline bool full_image_make(const char *path, const struct create_options *o,
				   const struct model *m, struct err *e)
{
	struct convert_options c = { .source_nr = 1, .count = UINT64_MAX, .target = path,
				     .format = FORMAT_QCOW2, .create = *o,
				     .target_flags = FILE_NO_FLUSH, .sparse = 4096, .workers = 1,
				     .target_secret = model_passphrase() };
	struct disk *d = NULL;

	c.compress = may_compress(o) && !o->preallocation && one_in(2);
	bool good = model_save(m, "s.raw") && (d = disk_of("s.raw", FORMAT_RAW, DISK_HOLES, e));

	c.sources = &d;
	good = good && convert(&c, e) == 0;
	disk_close(d);
	return good;
}

/* An empty image over b.raw, which is shorter or longer; m becomes what it shows. */
static inline bool overlay_make(const char *path, struct create_options *o, struct model *m,
				struct err *e)
{
	struct model b = model_new(align_up(below(3 * m->size) + 1, SECTOR_SIZE));
	struct new_image n = { .path = path, .format = FORMAT_QCOW2, .has_size = true };

	o->backing_name = "b.raw";
	o->backing_format = "raw";
	n.options = *o;
	n.options.size = m->size;
	memset(m->bytes, 0, m->size);
	memcpy(m->bytes, b.bytes, MIN(m->size, b.size));
	bool good = model_save(&b, "b.raw") && new_image_make(&n, e) == 0;

	free(b.bytes);
	return good;
}

/* One or the other. */
static inline bool some_image(const char *path, struct create_options *o, struct model *m,
			      struct err *e)
{
	bool backing = one_in(3);

	*o = some_options(backing);
	*m = model_new(some_disk_size());
	return backing ? overlay_make(path, o, m, e) : full_image_make(path, o, m, e);
}
