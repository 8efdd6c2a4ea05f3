#pragma once
/* Opens bytes as an image, looks at it in every way that changes nothing, and holds the answers
 * against each other. Refusing is a fine answer; crashing, hanging and contradicting oneself
 * are not. The bytes go through a file in memory that has a name, for a disk is opened by name. */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "image/disk.h"
#include "ops/check.h"
#include "ops/impact.h"
#include "ops/info.h"
#include "ops/orphans.h"

struct judge {
	int fd;
	struct spec spec;
};

static inline struct judge judge_open(const uint8_t *data, size_t size)
{
	struct judge j = { .fd = memfd_create("image", MFD_CLOEXEC) };
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", j.fd);
	AGREE(j.fd >= 0 && spec_path(&j.spec, path, FORMAT_QCOW2));
	for (size_t done = 0; done < size;) {
		ssize_t n = write(j.fd, data + done, size - done);

		AGREE(n > 0);
		done += (size_t)n;
	}
	j.spec.no_backing = true;
	return j;
}

static inline void judge_close(struct judge *j)
{
	spec_fini(&j->spec);
	close(j->fd);
}

/* Every finding has a line, and the line is harmless. */
static inline void judge_found(void *arg, const struct finding *f)
{
	uint64_t *nr = arg;
	char text[FINDING_TEXT_MAX];

	AGREE((unsigned)f->kind < PROBLEM_KINDS);
	if ((*nr)++ > 1000)
		return;
	AGREE(finding_text(f, text) == text && text[0]);
	for (const char *p = text; *p; p++)
		AGREE((uint8_t)*p >= 0x20);
}

static inline void judge_result(const struct check_result *r, uint64_t found)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PROBLEM_KINDS; i++)
		sum += r->kinds[i];
	AGREE(sum == found && sum == r->corruptions + r->leaks + r->check_errors + r->notes);
	AGREE(r->fragmented_clusters <= r->allocated_clusters);
	AGREE(r->compressed_clusters <= r->fragmented_clusters);
}

/* Ranges lie on their disks, in order, and no byte is in two. */
static inline void judge_impact(const struct impact *x)
{
	for (size_t i = 0; i < x->owner_nr; i++) {
		const struct impact_owner *o = &x->owners[i];
		uint64_t at = 0;

		AGREE(o->first + o->nr <= x->range_nr);
		for (size_t k = o->first; k < o->first + o->nr; k++) {
			const struct impact_range *r = &x->ranges[k];
			struct impact_piece p = impact_piece(o, r, r->guest);

			AGREE(r->guest >= at && r->len && r->len <= o->disk_size - r->guest);
			AGREE(p.guest == r->guest && p.len && p.len <= r->len);
			at = r->guest + r->len;
		}
	}
}

static inline void judge_orphans(const struct orphans *o, const struct check_result *r)
{
	AGREE(o->suspects <= r->leaks);
	AGREE(o->uncounted <= o->clusters);
	for (size_t i = 0; i < o->nr; i++) {
		const struct orphan *x = &o->list[i];

		AGREE(x->used && x->agree <= x->used && x->table_score <= 100 &&
		      x->place_score <= 100 && x->confidence <= 100);
		AGREE(i == 0 || x[-1].host < x->host);
		AGREE(orphans_suspect(o, 0) || !o->more);
	}
}

/* All that a check can find out beyond what is wrong: that is not to change what is wrong. */
static inline void judge_closely(struct image *img, const struct check_result *plain)
{
	struct impact impact = { 0 };
	struct orphans orphans = { 0 };
	struct check_options o = { .deep = true, .impact = &impact, .orphans = &orphans };
	struct check_result r;
	struct err e = ERR_INIT;

	AGREE(check_image(img, &o, &r, &e) == 0);
	AGREE(r.corruptions - r.kinds[PROBLEM_COMPRESSED_DATA] == plain->corruptions);
	AGREE(r.leaks == plain->leaks && r.check_errors == plain->check_errors);
	AGREE(r.corruptions || r.check_errors || impact_is_empty(&impact));
	judge_impact(&impact);
	judge_orphans(&orphans, &r);
	impact_fini(&impact);
	orphans_fini(&orphans);
}

/* What a check found clean can be mapped and read; only a compressed stream, which it does not
 * look into, may turn out bad. Bounded, for a small file may be a large disk. */
static inline void judge_reads(struct judge *j)
{
	const struct disk_options how = { .flags = DISK_NO_BACKING };
	static uint8_t buf[1 << 16];
	struct err e = ERR_INIT;
	struct disk *d = disk_open(&j->spec, &how, &e);
	struct disk_reader *r = d ? disk_reader_new(d, &e) : NULL;
	uint64_t guest = 0;

	AGREE(d && r);
	for (unsigned i = 0; i < 2000 && guest < disk_size(d); i++) {
		struct extent x;

		AGREE(disk_next(d, guest, disk_size(d) - guest, &x, &e) == 0);
		uint64_t len = x.len < sizeof buf ? x.len : sizeof buf;

		if (!x.reads_zero && disk_read(r, guest, buf, len, &e) < 0) {
			AGREE(x.kind == EXTENT_PACKED && e.code == ERR_CORRUPT);
			e = ERR_INIT;
		}
		guest += x.reads_zero ? x.len : len;
	}
	disk_reader_free(r);
	disk_close(d);
}

static inline void judge_info(struct judge *j)
{
	struct info info = { 0 };
	struct err e = ERR_INIT;

	if (info_load(&info, &j->spec, false, NULL, &e) < 0)
		fuzz_refused(&e);
	info_fini(&info);
}

/* Returns whether the image could be checked. */
static inline bool judge_image(const uint8_t *data, size_t size)
{
	struct judge j = judge_open(data, size);
	struct image *img = NULL;
	struct check_result r;
	struct err e = ERR_INIT;
	uint64_t found = 0;
	struct check_options o = { .found = judge_found, .arg = &found };
	bool checked = false, clean = false;

	judge_info(&j);
	if (check_open(&j.spec, NULL, &img, &e) < 0) {
		fuzz_refused(&e);
	} else if (check_image(img, &o, &r, &e) < 0) {
		fuzz_refused(&e);
	} else {
		checked = true;
		judge_result(&r, found);
		judge_closely(img, &r);
		clean = !r.corruptions && !r.check_errors &&
			image_header(img)->crypt_method == CRYPT_NONE &&
			!image_geom(img)->data_file;
	}
	image_close(img);
	if (clean)
		judge_reads(&j);
	judge_close(&j);
	return checked;
}
