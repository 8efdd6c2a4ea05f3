/* What counts as a write, and what as a flush, where an injected crash loses what was not
 * flushed. */
#include "fault_help.h"

#include <pthread.h>

#include "check.h"

static char place[] = "/tmp/qcow2-fault-kinds-XXXXXX";

static void one_of_each(void)
{
	struct file *a = opened("a", 0);
	struct err e = ERR_INIT;

	put(a, 1, 1, 'n');
	cut(a, 15);
	must(file_allocate(a, 14 * SECTOR, 3 * SECTOR, &e) == 0);
	must(file_zero(a, 4 * SECTOR, 2 * SECTOR, FILE_ZERO_WRITE, &e) == 0);
	put(a, 8, 1, 'n');
}

static void a_crash_can_be_at_every_kind_of_write(void)
{
	static const double sizes[] = { 16.25, 16.25, 15, 17, 17 };

	for (unsigned n = 1; n <= 5; n++)
		for (unsigned seed = 0; seed <= 1; seed++) {
			char fault[32];

			snprintf(fault, sizeof fault, "crash:write:%u", n);
			old_file_make();
			CHECK(crashes_with_seed(fault, seed, one_of_each));
			struct content c = content_of("a");

			CHECK(c.n == (size_t)(sizes[seed ? n - 1 : 0] * SECTOR));
			CHECK(is_all(&c, 1, 1, seed && n > 1 ? 'n' : 'o'));
			CHECK(is_all(&c, 4, 2, seed && n > 4 ? 0 : 'o'));
			CHECK(is_all(&c, 8, 1, 'o'));
			CHECK(is_all(&c, 15, 1, seed && n > 2 ? 0 : 'o'));
		}
	old_file_make();
	CHECK(status_with("crash:write:6:0", one_of_each) == 0);
}

static void zeros_of_all_kinds(void)
{
	struct file *a = opened("a", 0);
	struct err e = ERR_INIT;

	must(file_zero(a, SECTOR / 2, SECTOR, FILE_ZERO_PUNCH, &e) == 0);
	must(file_zero(a, 3 * SECTOR, SECTOR, FILE_ZERO_KEEP, &e) == 0);
	must(file_zero(a, 5 * SECTOR, SECTOR, FILE_ZERO_WRITE, &e) == 0);
	file_discard(a, 7 * SECTOR, SECTOR);
	must(file_zero(a, 9 * SECTOR, 20 * SECTOR, FILE_ZERO_PUNCH, &e) == 0);
	put(a, 0, 10, 'n');
	flush(a);
}

static void zeros_are_put_back_too(void)
{
	old_file_make();
	CHECK(status_with("crash:flush:1:0", zeros_of_all_kinds) == FAULT_EXIT);
	struct content c = content_of("a");

	CHECK(c.n == (size_t)(16.25 * SECTOR) && is_all(&c, 0, 16.25, 'o'));
}

static void never_durable(void)
{
	struct file *a = opened("a", FILE_NO_FLUSH), *b = opened("b", FILE_CREATE);
	struct err e = ERR_INIT;

	put(a, 1, 2, 'n');
	flush(a);
	put(b, 0, 2, 'n');
	must(file_close(b, &e) == 0);
	b = opened("c", FILE_CREATE | FILE_SYNC_WRITES);
	put(b, 0, 2, 'd');
	cut(b, 1);
	flush(b);
}

static void cache_modes_and_closing_count(void)
{
	old_file_make();
	unlink("b");
	CHECK(status_with("crash:flush:1:0", never_durable) == FAULT_EXIT);
	struct content a = content_of("a"), b = content_of("b"), c = content_of("c");

	CHECK(is_all(&a, 0, 16.25, 'o'));
	CHECK(b.n == 2 * SECTOR && is_all(&b, 0, 2, 'n'));
	CHECK(c.n == 2 * SECTOR && is_all(&c, 0, 2, 'd'));
}

/* Writes 257 MiB into a file that has them, and leaves little of them on the medium. */
static void more_than_is_kept(void)
{
	struct file *a = opened("a", 0);

	put(a, 0, 1, 'n');
	for (uint64_t at = MOST_BYTES; at < UINT64_C(257) << 20; at += MOST_BYTES) {
		put(a, (double)at / SECTOR, MOST_BYTES / SECTOR, 'n');
		file_discard(a, at, MOST_BYTES);
	}
	put(a, 1, 1, 'n');
	flush(a);
	put(a, 1, 1, 'x');
	flush(a);
}

static void memory_is_bounded(void)
{
	CHECK(file_filled("a", 4, 'o') && truncate("a", (off_t)300 << 20) == 0);
	CHECK(status_with("crash:flush:1:0", more_than_is_kept) == FAULT_EXIT);
	struct content c = content_of("a");

	CHECK(is_all(&c, 0, 2, 'n') && is_all(&c, 2, 2, 'o'));
	CHECK(status_with("crash:flush:2:0", more_than_is_kept) == FAULT_EXIT);
	c = content_of("a");
	CHECK(is_all(&c, 0, 2, 'n') && is_all(&c, 2, 2, 'o'));
}

/* --- threads --- */

#define SHARED_BYTES (64 * MOST_BYTES)

static struct file *shared;
static unsigned crash_after; /* microseconds */

static void *writes_a_half(void *half)
{
	for (size_t at = 0; at < SHARED_BYTES / 2; at += MOST_BYTES)
		put(shared, (double)(at + *(size_t *)half) / SECTOR, MOST_BYTES / SECTOR, 'n');
	return NULL;
}

static void two_threads_write(void)
{
	size_t halves[] = { 0, SHARED_BYTES / 2 };
	pthread_t threads[2];

	shared = opened("a", 0);
	for (int i = 0; i < 2; i++)
		must(pthread_create(&threads[i], NULL, writes_a_half, &halves[i]) == 0 &&
		     pthread_detach(threads[i]) == 0);
	usleep(crash_after);
	flush(shared);
}

static bool shared_is_old(const uint8_t *old)
{
	static uint8_t bytes[SHARED_BYTES];
	FILE *from = fopen("a", "rb");
	bool good = from && fread(bytes, 1, sizeof bytes, from) == sizeof bytes;

	if (from)
		fclose(from);
	return good && memcmp(bytes, old, sizeof bytes) == 0;
}

static void no_thread_writes_after_the_crash(void)
{
	static uint8_t old[SHARED_BYTES];

	memset(old, 'o', sizeof old);
	for (crash_after = 0; crash_after < 3000; crash_after += 50) {
		CHECK(file_made("a", old, sizeof old));
		CHECK(status_with("crash:flush:1:0", two_threads_write) == FAULT_EXIT);
		CHECK(shared_is_old(old));
	}
}

int main(void)
{
	if (!mkdtemp(place) || chdir(place) < 0)
		return 1;
	RUN(a_crash_can_be_at_every_kind_of_write);
	RUN(zeros_are_put_back_too);
	RUN(cache_modes_and_closing_count);
	RUN(memory_is_bounded);
	RUN(no_thread_writes_after_the_crash);
	unlink("a");
	unlink("b");
	unlink("c");
	return DONE() || rmdir(place) < 0;
}
