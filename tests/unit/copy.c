/* Copying over a backing file, and disks that are not what they were: the cases that random
 * tests meet too seldom. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "image/builder.h"
#include "image/disk.h"
#include "ops/convert.h"

static char place[] = "/tmp/qcow2-copy-XXXXXX";

static bool raw_make(const char *path, uint64_t size, uint8_t value)
{
	struct err e = ERR_INIT;
	struct file *f = file_open(path, FILE_WRITE | FILE_CREATE, &e);
	bool good = f && file_truncate(f, 0, &e) == 0 && file_truncate(f, size, &e) == 0;

	for (uint64_t at = 0; good && value && at < size; at++)
		good = file_write_at(f, at, &value, 1, &e) == 0;
	file_drop(f);
	return good;
}

/* An image over base.raw, which `fill` fills. */
static bool overlay_make(unsigned cluster_bits, uint64_t size,
			 bool (*fill)(struct builder *b, struct err *e))
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;
	struct err e = ERR_INIT;
	struct file *f = file_open("overlay", FILE_WRITE | FILE_CREATE, &e);

	o.cluster_bits = cluster_bits;
	o.size = size;
	o.backing_name = "base.raw";
	o.backing_format = "raw";
	struct builder *b = f && file_truncate(f, 0, &e) == 0 ? builder_new(f, &o, &e) : NULL;
	bool good = b && fill(b, &e) && builder_finish(b, BUILD_LAZY, &e) == 0;

	builder_free(b);
	file_drop(f);
	return good;
}

static struct disk *disk_of(const char *path, enum image_format format)
{
	struct disk_options o = { .flags = DISK_HOLES };
	struct err e = ERR_INIT;
	struct spec s;
	struct disk *d = spec_path(&s, path, format) ? disk_open(&s, &o, &e) : NULL;

	spec_fini(&s);
	return d;
}

static void warned(void *arg, const char *text)
{
	++*(int *)arg;
}

/* overlay -> copy, both over base.raw; with 4 KiB clusters. */
static int copy_over(uint64_t sparse, bool salvage, int *warnings, struct err *e)
{
	struct listener l = { warned, warnings };
	struct disk *d = disk_of("overlay", FORMAT_QCOW2);
	struct convert_options o = {
		.sources = &d,
		.source_nr = 1,
		.count = UINT64_MAX,
		.target = "copy",
		.format = FORMAT_QCOW2,
		.create = CREATE_OPTIONS_DEFAULT,
		.sparse = sparse,
		.workers = 1,
		.salvage = salvage,
		.listener = &l,
	};

	o.create.cluster_bits = 12;
	o.create.backing_name = "base.raw";
	o.create.backing_format = "raw";
	int ret = d ? convert(&o, e) : -1;

	disk_close(d);
	return ret;
}

static int byte_of(const char *path, uint64_t guest)
{
	struct disk *d = disk_of(path, FORMAT_QCOW2);
	struct err e = ERR_INIT;
	struct disk_reader *r = d ? disk_reader_new(d, &e) : NULL;
	uint8_t byte;
	int value = r && disk_read(r, guest, &byte, 1, &e) == 0 ? byte : -1;

	disk_reader_free(r);
	disk_close(d);
	return value;
}

static bool put(struct builder *b, uint64_t guest, uint64_t len, uint8_t value, struct err *e)
{
	uint8_t byte = value;
	uint64_t host, run;

	for (; len; guest += run, len -= run) {
		if (builder_assign(b, guest, len, &host, &run, e) < 0)
			return false;
		for (uint64_t i = 0; i < run; i++)
			if (builder_write(b, guest + i, host + i, &byte, 1, e) < 0)
				return false;
	}
	return true;
}

static bool last_sector_is_zero(struct builder *b, struct err *e)
{
	return builder_put_zero(b, 3584, 512, e) == 0;
}

static void zeros_at_the_end_of_a_cluster_leave_its_rest(void)
{
	struct err e = ERR_INIT;
	int warnings = 0;

	CHECK(raw_make("base.raw", 4096, 0xaa));
	CHECK(overlay_make(9, 4096, last_sector_is_zero));
	CHECK(copy_over(4096, false, &warnings, &e) == 0);
	CHECK(byte_of("copy", 0) == 0xaa && byte_of("copy", 3583) == 0xaa);
	CHECK(byte_of("copy", 3584) == 0 && byte_of("copy", 4095) == 0);
}

static bool junk_is_packed(struct builder *b, struct err *e)
{
	return builder_put_packed(b, 0, "junk", 4, e) == 0 && put(b, 4096, 4096, 7, e);
}

static void salvage_works_over_a_backing_file(void)
{
	struct err e = ERR_INIT, none = ERR_INIT;
	int warnings = 0;

	CHECK(raw_make("base.raw", 8192, 0));
	CHECK(overlay_make(12, 8192, junk_is_packed));
	CHECK(copy_over(4096, false, &warnings, &e) < 0 && warnings == 0);
	CHECK(copy_over(4096, true, &warnings, &none) == 0 && warnings == 1);
	CHECK(byte_of("copy", 0) == 0 && byte_of("copy", 4096) == 7);
}

static uint8_t job_before;

/* The second job has a short run of zeros, followed by what the overlay does not hold. */
static bool zeros_before_a_gap(struct builder *b, struct err *e)
{
	uint64_t second = 512 << 10;

	return put(b, 0, second, job_before, e) && put(b, second, 4096, 1, e) &&
	       put(b, second + 4096, 4096, 0, e) && put(b, second + 65536, 4096, 1, e);
}

static enum extent_kind kind_after_copy(void)
{
	struct disk *d;
	struct err e = ERR_INIT;
	struct extent x = { 0 };
	int warnings = 0;

	CHECK(overlay_make(12, 1 << 20, zeros_before_a_gap));
	CHECK(copy_over(65536 - 8192, false, &warnings, &e) == 0);
	d = disk_of("copy", FORMAT_QCOW2);
	CHECK(d && disk_next(d, (512 << 10) + 4096, 4096, &x, &e) == 0);
	disk_close(d);
	return x.kind;
}

static void what_was_in_a_buffer_before_does_not_count(void)
{
	CHECK(raw_make("base.raw", 0, 0));
	job_before = 0;
	enum extent_kind after_zeros = kind_after_copy();

	job_before = 1;
	CHECK(after_zeros == EXTENT_DATA && kind_after_copy() == EXTENT_DATA);
}

static void a_window_is_not_copied_over_a_backing_file(void)
{
	struct disk *d = disk_of("base.raw", FORMAT_RAW);
	struct convert_options o = {
		.sources = &d,
		.source_nr = 1,
		.skip = 512,
		.count = UINT64_MAX,
		.target = "never",
		.format = FORMAT_QCOW2,
		.create = CREATE_OPTIONS_DEFAULT,
	};
	struct err e = ERR_INIT;

	o.create.backing_name = "base.raw";
	o.create.backing_format = "raw";
	CHECK(d && convert(&o, &e) < 0 && e.code == ERR_INVALID && access("never", F_OK) < 0);
	disk_close(d);
}

static void a_source_that_was_cut_is_no_hole(void)
{
	CHECK(raw_make("cut.raw", 65536, 0));
	struct disk *d = disk_of("cut.raw", FORMAT_RAW);
	struct convert_options o = {
		.sources = &d,
		.source_nr = 1,
		.count = UINT64_MAX,
		.target = "never",
		.format = FORMAT_RAW,
		.create = CREATE_OPTIONS_DEFAULT,
		.sparse = 4096,
	};
	struct err e = ERR_INIT;

	CHECK(d && truncate("cut.raw", 4096) == 0);
	CHECK(d && convert(&o, &e) < 0 && e.code == ERR_IO && access("never", F_OK) < 0);
	disk_close(d);
}

/* Whatever is asked of the copy, the file that stands at the target's place must survive it. */
static void refuse(struct convert_options o)
{
	struct err e = ERR_INIT;
	struct file *f;

	CHECK(raw_make("copy", 4096, 5));
	o.target = "copy";
	CHECK(convert(&o, &e) < 0 && e.code == ERR_INVALID);
	f = file_open("copy", 0, &e);
	CHECK(f && file_size(f) == 4096);
	file_drop(f);
}

static void what_is_refused_leaves_an_old_target_alone(void)
{
	static char long_name[600];
	CHECK(raw_make("base.raw", 65536, 0) && raw_make("cut.raw", 65536, 0));
	struct disk *d = disk_of("base.raw", FORMAT_RAW);
	struct convert_options o = { .sources = &d,
				     .source_nr = 1,
				     .count = UINT64_MAX,
				     .format = FORMAT_QCOW2,
				     .create = CREATE_OPTIONS_DEFAULT };
	struct convert_options narrow = o, packed = o, raw = o, same = o;

	memset(long_name, 'x', sizeof long_name - 1);
	narrow.create.cluster_bits = 9;
	narrow.create.backing_name = long_name;
	refuse(narrow);
	packed.compress = true;
	packed.create.preallocation = PREALLOCATION_FULL;
	refuse(packed);
	raw.format = FORMAT_RAW;
	raw.create.preallocation = PREALLOCATION_METADATA;
	refuse(raw);
	same.create.backing_name = same.create.data_file = "cut.raw";
	refuse(same);
	disk_close(d);
}

int main(void)
{
	static const char *const names[] = { "base.raw", "overlay", "copy", "cut.raw" };

	if (!mkdtemp(place) || chdir(place) < 0)
		return 1;
	RUN(zeros_at_the_end_of_a_cluster_leave_its_rest);
	RUN(salvage_works_over_a_backing_file);
	RUN(what_was_in_a_buffer_before_does_not_count);
	RUN(a_window_is_not_copied_over_a_backing_file);
	RUN(a_source_that_was_cut_is_no_hole);
	RUN(what_is_refused_leaves_an_old_target_alone);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(names[i]);
	return DONE() || rmdir(place) < 0;
}
