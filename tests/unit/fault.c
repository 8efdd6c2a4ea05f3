/* What an injected crash leaves of writes that were not flushed (io/fault_undo.h): 'o' is
 * what the file held before, 'd' is durable, 'n' is new. */
#include "fault_help.h"

#include "check.h"

#define SEEDS 40

static char place[] = "/tmp/qcow2-fault-XXXXXX";

static void writes_with_a_flush(void)
{
	struct file *a = opened("a", 0);

	put(a, 1.5, 2, 'd');
	put(a, 20, 1, 'd');
	flush(a);
	put(a, 0, 3, 'n');
	put(a, 10, 1, 'n');
	put(a, 16, 3, 'n');
	put(a, 22, 2, 'n');
	flush(a);
}

static bool is_durable_part(const struct content *c)
{
	return c->n == 21 * SECTOR && is_all(c, 0, 1.5, 'o') && is_all(c, 1.5, 2, 'd') &&
	       is_all(c, 3.5, 12.75, 'o') && is_all(c, 16.25, 3.75, 0) &&
	       is_all(c, 20, 1, 'd');
}

static bool is_all_there(const struct content *c)
{
	return c->n == 24 * SECTOR && is_all(c, 0, 3, 'n') && is_all(c, 3, 0.5, 'd') &&
	       is_all(c, 3.5, 6.5, 'o') && is_all(c, 10, 1, 'n') && is_all(c, 11, 5, 'o') &&
	       is_all(c, 16, 3, 'n') && is_all(c, 19, 1, 0) && is_all(c, 20, 1, 'd') &&
	       is_all(c, 21, 1, 0) && is_all(c, 22, 2, 'n');
}

static void seed_0_leaves_what_was_flushed(void)
{
	old_file_make();
	CHECK(status_with("crash:flush:2:0", writes_with_a_flush) == FAULT_EXIT);
	struct content c = content_of("a");

	CHECK(is_durable_part(&c));
	old_file_make();
	CHECK(status_with("crash:flush:1:0", writes_with_a_flush) == FAULT_EXIT);
	c = content_of("a");
	CHECK(c.n == (size_t)(16.25 * SECTOR) && is_all(&c, 0, 16.25, 'o'));
}

static void seed_1_and_no_seed_leave_everything(void)
{
	static const char *const faults[] = { "crash:flush:2", "crash:flush:2:1" };

	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		old_file_make();
		CHECK(status_with(faults[i], writes_with_a_flush) == FAULT_EXIT);
		struct content c = content_of("a");

		CHECK(is_all_there(&c));
	}
}

static void no_crash_changes_nothing(void)
{
	old_file_make();
	CHECK(status_with("crash:flush:3:0", writes_with_a_flush) == 0);
	struct content c = content_of("a");

	CHECK(is_all_there(&c));
}

static struct content left_by(unsigned seed)
{
	old_file_make();
	CHECK(crashes_with_seed("crash:flush:2", seed, writes_with_a_flush));
	return content_of("a");
}

static void other_seeds_mix_old_and_new_sectors(void)
{
	static const uint8_t changed[] = { 0, 1, 2, 10, 16, 17, 18, 22, 23 };
	struct content old = left_by(0), new = left_by(1);
	unsigned news[24] = { 0 }, lengths[2] = { 0 };

	CHECK(is_durable_part(&old) && is_all_there(&new));
	for (unsigned seed = 2; seed < 2 + SEEDS; seed++) {
		struct content c = left_by(seed);

		CHECK(c.n == old.n || c.n == new.n);
		lengths[c.n == new.n]++;
		for (size_t s = 0; s * SECTOR < c.n; s++) {
			bool is_new = sector_same(&c, &new, s);

			CHECK(is_new || sector_same(&c, &old, s));
			news[s] += is_new;
		}
	}
	for (size_t i = 0; i < sizeof changed; i++)
		CHECK(news[changed[i]] > SEEDS / 5 && news[changed[i]] < SEEDS * 4 / 5);
	CHECK(lengths[0] && lengths[1]);
}

static void a_seed_always_does_the_same(void)
{
	struct content first = left_by(7), again = left_by(7), other = left_by(8);

	CHECK(memcmp(&first, &again, sizeof first) == 0);
	CHECK(memcmp(&first, &other, sizeof first) != 0);
}

static void overlapping_writes(void)
{
	struct file *a = opened("a", 0);

	put(a, 2, 6, 'x');
	put(a, 4.5, 6, 'n');
	put(a, 2, 1, 'y');
	flush(a);
}

static void what_lies_between_never_comes_back(void)
{
	unsigned torn = 0;

	for (unsigned seed = 0; seed < SEEDS; seed++) {
		old_file_make();
		CHECK(crashes_with_seed("crash:flush:1", seed, overlapping_writes));
		struct content c = content_of("a");

		CHECK(c.n == (size_t)(16.25 * SECTOR));
		CHECK(is_all(&c, 0, 2, 'o') && is_all(&c, 11, 5.25, 'o'));
		CHECK(is_all(&c, 2, 1, 'o') || is_all(&c, 2, 1, 'y'));
		CHECK(is_all(&c, 3, 1, 'o') || is_all(&c, 3, 1, 'x'));
		CHECK(is_all(&c, 4, 1, 'o') ||
		      (is_all(&c, 4, .5, 'x') && is_all(&c, 4.5, .5, 'n')));
		for (unsigned s = 5; s < 10; s++) {
			CHECK(is_all(&c, s, 1, 'o') || is_all(&c, s, 1, 'n'));
			torn += c.bytes[s * SECTOR] != c.bytes[5 * SECTOR];
		}
		CHECK(is_all(&c, 10, 1, 'o') ||
		      (is_all(&c, 10, .5, 'n') && is_all(&c, 10.5, .5, 'o')));
	}
	CHECK(torn > 0);
}

static void shortens(void)
{
	struct file *a = opened("a", 0);

	put(a, 3, 1, 'n');
	put(a, 14, 1, 'n');
	cut(a, 8.5);
	flush(a);
}

static void a_truncation_is_kept_or_taken_back(void)
{
	unsigned back = 0;

	for (unsigned seed = 0; seed < SEEDS; seed++) {
		old_file_make();
		CHECK(crashes_with_seed("crash:flush:1", seed, shortens));
		struct content c = content_of("a");

		CHECK(is_all(&c, 0, 3, 'o') && is_all(&c, 4, 4.5, 'o'));
		CHECK(is_all(&c, 3, 1, 'o') || is_all(&c, 3, 1, 'n'));
		back += c.n != (size_t)(8.5 * SECTOR);
		if (c.n != (size_t)(8.5 * SECTOR))
			CHECK(c.n == (size_t)(16.25 * SECTOR) &&
			      is_all(&c, 8.5, 7.75, 'o'));
		CHECK(seed > 1 || back == 1);
	}
	CHECK(back > SEEDS / 5 && back < SEEDS * 4 / 5);
}

static void shortens_and_grows(void)
{
	struct file *a = opened("a", 0);

	cut(a, 0);
	put(a, 4, 2, 'n');
	cut(a, 30);
	flush(a);
}

static void what_was_cut_off_and_written_again_is_a_mix(void)
{
	unsigned news = 0, gone = 0, cut_back = 0;

	for (unsigned seed = 0; seed < SEEDS; seed++) {
		old_file_make();
		CHECK(crashes_with_seed("crash:flush:1", seed, shortens_and_grows));
		struct content c = content_of("a");

		for (unsigned s = 0; s < 16; s++) {
			bool is_new = is_all(&c, s, 1, s / 2 == 2 ? 'n' : 0);

			CHECK(is_new || is_all(&c, s, 1, 'o'));
			news += is_new;
		}
		gone += is_all(&c, 16, .25, 0);
		CHECK(is_all(&c, 16, .25, 'o') || is_all(&c, 16, .25, 0));
		CHECK(is_all(&c, 16.25, 13.75, 0));
		CHECK(c.n == (size_t)(16.25 * SECTOR) || c.n == 30 * SECTOR);
		cut_back += c.n != 30 * SECTOR;
		CHECK(seed > 0 || (news == 0 && cut_back == 1));
		CHECK(seed != 1 || (news == 16 && cut_back == 1));
	}
	CHECK(news > SEEDS * 4 && news < SEEDS * 12);
	CHECK(gone > SEEDS / 5 && gone < SEEDS * 4 / 5);
	CHECK(cut_back > SEEDS / 5 && cut_back < SEEDS * 4 / 5);
}

static void makes_a_file(void)
{
	struct file *b = opened("b", FILE_CREATE);

	put(b, 0, 1, 'n');
	put(b, 5, 1.5, 'n');
	flush(b);
}

static void a_new_file_stays_and_its_content_may_not(void)
{
	unsigned empty = 0;

	for (unsigned seed = 0; seed < SEEDS; seed++) {
		unlink("b");
		CHECK(crashes_with_seed("crash:flush:1", seed, makes_a_file));
		CHECK(access("b", F_OK) == 0);
		struct content c = content_of("b");
		bool any = false;

		for (unsigned s = 0; s < 7; s++) {
			double n = s == 6 ? .5 : 1;
			bool is_new = (s == 0 || s >= 5) && is_all(&c, s, n, 'n');

			CHECK(is_new || is_all(&c, s, n, 0));
			any |= is_new;
		}
		CHECK(c.n == (size_t)(6.5 * SECTOR) || (c.n == 0 && !any));
		empty += c.n == 0;
		CHECK(seed > 1 || empty == 1);
	}
	CHECK(empty > 1 && empty < SEEDS / 2);
}

static void makes_two_files(void)
{
	struct file *b = opened("b", FILE_CREATE), *c = opened("c", FILE_CREATE);

	put(b, 0, 30, 'n');
	put(c, 0, 30, 'n');
	flush(b);
}

static void what_stays_is_not_cut_off(void)
{
	for (unsigned seed = 2; seed < SEEDS; seed++) {
		unlink("b");
		unlink("c");
		CHECK(crashes_with_seed("crash:flush:1", seed, makes_two_files));
		struct content b = content_of("b"), c = content_of("c");

		CHECK(b.n == 30 * SECTOR && c.n == b.n);
		CHECK(!is_all(&b, 0, 30, 0) && !is_all(&c, 0, 30, 0));
		CHECK(memcmp(&b, &c, sizeof b) != 0); /* each file has its own luck */
	}
}

static void two_files(void)
{
	struct file *a = opened("a", 0), *b = opened("b", FILE_CREATE);

	put(a, 1, 2, 'n');
	put(b, 1, 2, 'd');
	flush(b);
	put(b, 8, 2, 'n');
	flush(a);
	put(a, 4, 2, 'n');
	put(b, 4, 2, 'n');
	flush(b);
}

static void a_flush_is_for_one_file(void)
{
	old_file_make();
	unlink("b");
	CHECK(status_with("crash:flush:2:0", two_files) == FAULT_EXIT);
	struct content a = content_of("a"), b = content_of("b");

	CHECK(is_all(&a, 0, 16.25, 'o'));
	CHECK(b.n == 3 * SECTOR && is_all(&b, 0, 1, 0) && is_all(&b, 1, 2, 'd'));

	old_file_make();
	unlink("b");
	CHECK(status_with("crash:flush:3:0", two_files) == FAULT_EXIT);
	a = content_of("a");
	b = content_of("b");
	CHECK(is_all(&a, 1, 2, 'n') && is_all(&a, 3, 13.25, 'o'));
	CHECK(b.n == 3 * SECTOR);
}

int main(void)
{
	if (!mkdtemp(place) || chdir(place) < 0)
		return 1;
	RUN(seed_0_leaves_what_was_flushed);
	RUN(seed_1_and_no_seed_leave_everything);
	RUN(no_crash_changes_nothing);
	RUN(other_seeds_mix_old_and_new_sectors);
	RUN(a_seed_always_does_the_same);
	RUN(what_lies_between_never_comes_back);
	RUN(a_truncation_is_kept_or_taken_back);
	RUN(what_was_cut_off_and_written_again_is_a_mix);
	RUN(a_new_file_stays_and_its_content_may_not);
	RUN(what_stays_is_not_cut_off);
	RUN(a_flush_is_for_one_file);
	unlink("a");
	unlink("b");
	unlink("c");
	return DONE() || rmdir(place) < 0;
}
