#pragma once
/* The same images with what a life leaves in them: two snapshots, writes before and after each, and
 * three bitmaps, one of them disabled. */
#include <stdio.h>
#include <unistd.h>

#include "base/align.h"
#include "damage_help.h"
#include "image/snapshots.h"
#include "image/writer.h"
#include "ops/bitmap.h"

static inline bool lived_write(struct image_writer *w, const struct geom *g, uint64_t cluster,
			       uint8_t byte, struct err *e)
{
	uint64_t size = geom_cluster_size(g), at = cluster * size;
	uint8_t *data = malloc(size);

	memset(data, byte, size);
	bool good = at + size <= g->disk_size && image_write(w, at, data, size, e) == 0;

	free(data);
	return good;
}

static inline bool lived_bitmaps(const struct spec *s, struct err *e)
{
	static const char *const names[] = { "daily", "weekly", "old" };
	const struct bitmap_step steps[] = { { .action = BITMAP_ADD }, { .action = BITMAP_DISABLE } };
	bool good = true;

	for (size_t i = 0; i < 3; i++) {
		const struct bitmap_change c = { .spec = s,
						 .name = names[i],
						 .steps = steps,
						 .steps_nr = i == 2 ? 2 : 1,
						 .granularity = UINT64_C(512) << i };

		good = good && bitmap_change(&c, e) == 0;
	}
	return good;
}

/* One more snapshot, and clusters that are written behind it. */
static inline bool lived_day(const struct spec *s, const char *name, unsigned day, struct err *e)
{
	const struct disk_options how = { .flags = DISK_WRITE, .write_flags = FILE_NO_FLUSH };
	struct disk *d = disk_open(s, &how, e);
	struct image_writer *w = d ? image_writer_new(d, NULL, NULL, e) : NULL;
	const struct snapshot_new n = { name, 1700000000 + day, 0 };
	const struct geom *g = w ? image_geom(disk_image(d, 0)) : NULL;
	bool good = w && (!name || image_snapshot_create(w, &n, NULL, e) == 0);

	good = good && lived_write(w, g, 1 + day, (uint8_t)(0x10 + day), e) &&
	       lived_write(w, g, 73 + day, (uint8_t)(0x20 + day), e) &&
	       lived_write(w, g, 30 + day, (uint8_t)(0x30 + day), e) &&
	       image_writer_finish(w, e) == 0;
	image_writer_free(w);
	disk_close(d);
	return good;
}

/* `bitmaps`: version 3 only. */
static inline struct bytes_owned image_make_lived(const struct create_options *o, bool bitmaps)
{
	struct bytes_owned out = image_make(o);
	char path[] = "/tmp/qcow2-lived-XXXXXX";
	struct err e = ERR_INIT;
	struct spec s = { 0 };
	int fd = mkstemp(path);
	bool good = fd >= 0 && write(fd, out.p, out.n) == (ssize_t)out.n &&
		    spec_path(&s, path, FORMAT_QCOW2);

	good = good && lived_day(&s, NULL, 0, &e) && lived_day(&s, "monday", 1, &e) &&
	       (!bitmaps || lived_bitmaps(&s, &e)) && lived_day(&s, "tuesday", 2, &e);
	if (!good)
		printf("# %s\n", e.code ? e.text : "no file");
	CHECK(good);
	spec_fini(&s);
	off_t n = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

	out.p = realloc(out.p, (size_t)n + 1);
	out.n = (size_t)n;
	CHECK(fd >= 0 && pread(fd, out.p, out.n, 0) == (ssize_t)out.n);
	close(fd);
	unlink(path);
	return out;
}
