/* ops/compare.h and ops/map.h over raw files: the engine's part, without a command. */
#include "ops/compare.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "ops/map.h"

#define MIB (1 << 20)

static char dir[] = "/tmp/qcow2-unit-XXXXXX";

static void write_raw(const char *name, uint64_t size, uint64_t at, const void *bytes, size_t n)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	CHECK(pwrite(fd, bytes, n, (off_t)at) == (ssize_t)n);
	close(fd);
}

static struct disk *open_raw(const char *name)
{
	const struct disk_options how = { .flags = DISK_HOLES };
	struct err e = ERR_INIT;
	struct spec s = { 0 };
	struct disk *d = spec_path(&s, name, FORMAT_RAW) ? disk_open(&s, &how, &e) : NULL;

	CHECK(d);
	spec_fini(&s);
	return d;
}

static struct compare_result compare_with(unsigned workers, bool strict, const char *a,
					  const char *b)
{
	const struct compare_options o = { .strict = strict, .workers = workers };
	struct disk *da = open_raw(a), *db = open_raw(b);
	struct compare_result r = { 0 };
	struct err e = ERR_INIT;

	CHECK(compare_disks(da, db, &o, NULL, &r, &e) == 0);
	CHECK(!err_is(&e));
	disk_close(da);
	disk_close(db);
	return r;
}

static bool differs_at(const char *a, const char *b, uint64_t offset)
{
	for (unsigned workers = 1; workers <= 4; workers++) {
		struct compare_result r = compare_with(workers, false, a, b);
		struct compare_result back = compare_with(workers, false, b, a);

		if (r.answer != COMPARE_CONTENT || r.offset != offset ||
		    back.answer != COMPARE_CONTENT || back.offset != offset)
			return false;
	}
	return true;
}

static void a_single_byte_is_found(void)
{
	static const uint64_t places[] = { 0, 511, 512, 65535, 262143, 262144, 3 * MIB + 77,
					   8 * MIB - 1 };

	write_raw("zeros", 8 * MIB, 0, "", 0);
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		unlink("one");
		write_raw("one", 8 * MIB, places[i], "x", 1);
		CHECK(differs_at("zeros", "one", places[i] / 512 * 512));
	}
}

static void of_two_differences_the_first_counts(void)
{
	uint8_t *noise = malloc(4 * MIB);

	memset(noise, 0x5a, 4 * MIB);
	write_raw("full", 4 * MIB, 0, noise, 4 * MIB);
	noise[3 * MIB] ^= 1;
	noise[MIB + 1000] ^= 1;
	write_raw("twice", 4 * MIB, 0, noise, 4 * MIB);
	free(noise);
	CHECK(differs_at("full", "twice", MIB + 512));
	CHECK(compare_with(2, false, "full", "full").answer == COMPARE_SAME);
}

static void a_longer_tail_of_zeros_is_the_same(void)
{
	write_raw("short", MIB, 5, "hello", 5);
	write_raw("long", 2 * MIB, 5, "hello", 5);
	struct compare_result r = compare_with(2, false, "short", "long");

	CHECK(r.answer == COMPARE_SAME && r.tail);
	CHECK(compare_with(2, true, "short", "long").answer == COMPARE_SIZE);
	write_raw("long", 2 * MIB, 2 * MIB - 1, "!", 1);
	r = compare_with(2, false, "short", "long");
	CHECK(r.answer == COMPARE_CONTENT && r.tail && r.offset == 2 * MIB - 512);
	write_raw("long", 2 * MIB, 600, "!", 1);
	r = compare_with(2, false, "short", "long");
	CHECK(r.answer == COMPARE_CONTENT && !r.tail && r.offset == 512);
}

static void strict_sees_a_hole_beside_zeros(void)
{
	uint8_t zeros[4096] = { 0 };

	write_raw("hole", MIB, 0, "", 0);
	write_raw("zeros-written", MIB, 65536, zeros, sizeof zeros);
	CHECK(compare_with(2, false, "hole", "zeros-written").answer == COMPARE_SAME);
	CHECK(compare_with(2, true, "hole", "hole").answer == COMPARE_SAME);
	struct compare_result r = compare_with(2, true, "hole", "zeros-written");

	/* A file system without holes has nothing to tell apart. */
	CHECK(r.answer == COMPARE_SAME ||
	      (r.answer == COMPARE_ALLOCATION && r.offset == 65536));
}

static void a_file_that_ends_inside_a_sector_is_padded(void)
{
	write_raw("odd", 1000, 0, "hello", 5);
	write_raw("even", 1024, 0, "hello", 5);
	struct compare_result r = compare_with(1, false, "odd", "even");

	CHECK(r.answer == COMPARE_SAME && !r.tail);
	write_raw("even", 1024, 1023, "!", 1);
	CHECK(differs_at("odd", "even", 512));
}

static int stop_asked;

static void ask(void *arg, uint64_t done, uint64_t total)
{
	CHECK(done <= total);
	atomic_store((atomic_int *)arg, 1);
	stop_asked++;
}

static void a_stop_is_an_error(void)
{
	atomic_int stop = 0;
	const struct watch w = { .progress = ask, .arg = (void *)&stop, .stop = &stop };
	const struct compare_options o = { .workers = 2 };
	struct disk *a = open_raw("full"), *b = open_raw("full");
	struct err e = ERR_INIT;
	struct compare_result r;

	CHECK(compare_disks(a, b, &o, &w, &r, &e) < 0 && e.code == ERR_STOPPED);
	CHECK(stop_asked);
	disk_close(a);
	disk_close(b);
}

struct rows {
	unsigned nr;
	uint64_t next; /* where the last row ended */
	bool gap;
};

static int collect(void *arg, const struct map_row *r, struct err *e)
{
	struct rows *rows = arg;

	rows->gap = rows->gap || (rows->nr && rows->next != r->start);
	rows->next = r->start + r->length;
	rows->nr++;
	return 0;
}

static struct rows map_rows(struct disk *d, uint64_t start, uint64_t len)
{
	struct rows rows = { .next = start };
	struct err e = ERR_INIT;

	CHECK(map_disk(d, start, len, collect, &rows, NULL, &e) == 0);
	return rows;
}

static void rows_cover_what_was_asked_for(void)
{
	struct disk *d = open_raw("one");
	uint64_t size = disk_size(d);

	CHECK(!map_rows(d, 0, UINT64_MAX).gap);
	CHECK(map_rows(d, 0, UINT64_MAX).next == size);
	CHECK(map_rows(d, 1000, 100).next == 1100);
	CHECK(map_rows(d, size - 1, 100).next == size);
	CHECK(map_rows(d, 0, 0).nr == 0);
	CHECK(map_rows(d, size, 100).nr == 0);
	CHECK(map_rows(d, UINT64_MAX, UINT64_MAX).nr == 0);
	disk_close(d);
}

static int refuse(void *arg, const struct map_row *r, struct err *e)
{
	return err_set(e, ERR_IO, "no more paper");
}

static void a_row_that_fails_ends_the_map(void)
{
	struct disk *d = open_raw("one");
	struct err e = ERR_INIT;

	CHECK(map_disk(d, 0, UINT64_MAX, refuse, NULL, NULL, &e) < 0);
	CHECK(strcmp(e.text, "no more paper") == 0);
	disk_close(d);
}

int main(void)
{
	if (!mkdtemp(dir) || chdir(dir) < 0)
		return 1;
	RUN(a_single_byte_is_found);
	RUN(of_two_differences_the_first_counts);
	RUN(a_longer_tail_of_zeros_is_the_same);
	RUN(strict_sees_a_hole_beside_zeros);
	RUN(a_file_that_ends_inside_a_sector_is_padded);
	RUN(a_stop_is_an_error);
	RUN(rows_cover_what_was_asked_for);
	RUN(a_row_that_fails_ends_the_map);

	static const char *const made[] = { "zeros", "one", "full", "twice", "short", "long",
					    "hole", "zeros-written", "odd", "even" };

	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		unlink(made[i]);
	if (chdir("/") < 0 || rmdir(dir) < 0)
		return 1;
	return DONE();
}
