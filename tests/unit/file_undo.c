/* Files whose changes can be taken back, or are only planned. */
#include "fault_help.h"

#include "base/align.h"
#include "check.h"
#include "io/file_plan.h"
#include "io/file_undo.h"

#define IMAGE_MAX (600 << 10)
#define STEPS	  40

static char place[] = "/tmp/qcow2-undo-XXXXXX";
static uint64_t random_state;
static uint8_t model[IMAGE_MAX], original[IMAGE_MAX];
static size_t model_size, original_size;

static uint64_t below(uint64_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (random_state >> 33) % n;
}

/* Bytes of which some stretches are zeros. */
static void image_make(uint64_t seed)
{
	random_state = seed;
	original_size = (200 << 10) + below(200 << 10);
	memset(original, 0, sizeof original);
	for (size_t at = 0; at < original_size; at += 1 + below(20000))
		for (size_t n = below(20000); n && at < original_size; n--)
			original[at++] = (uint8_t)below(256);
	memcpy(model, original, sizeof model);
	model_size = original_size;
	if (!file_made("image", original, original_size))
		abort();
	unlink("undo");
}

static void model_put(size_t off, size_t n, uint8_t value)
{
	memset(model + off, value, n);
	model_size = MAX(model_size, off + n);
}

static void step(struct file *f)
{
	static uint8_t bytes[1 << 17];
	struct err e = ERR_INIT;
	size_t n = 1 + below(below(3) ? 5000 : sizeof bytes - 1);
	size_t off = below(IMAGE_MAX - n);
	uint8_t value = (uint8_t)below(256);

	switch (below(8)) {
	case 0:
		must(file_zero(f, off, n, below(3), &e) == 0);
		model_put(off, n, 0);
		break;
	case 1:
		must(file_truncate(f, off, &e) == 0);
		memset(model + off, 0, sizeof model - off);
		model_size = off;
		break;
	case 2:
		must(file_flush(f, &e) == 0);
		break;
	default:
		memset(bytes, value, n);
		must(file_write_at(f, off, bytes, n, &e) == 0);
		model_put(off, n, value);
	}
}

static bool reads_as(struct file *f, const uint8_t *bytes, size_t n)
{
	static uint8_t now[IMAGE_MAX];
	struct err e = ERR_INIT;

	return file_size(f) == n && file_read_at(f, 0, now, n, &e) == 0 &&
	       memcmp(now, bytes, n) == 0;
}

static bool image_is(const uint8_t *bytes, size_t n)
{
	struct err e = ERR_INIT;
	struct file *f = file_open("image", 0, &e);
	bool same = f && reads_as(f, bytes, n);

	file_drop(f);
	return same;
}

static struct file *undo_begin(void)
{
	struct err e = ERR_INIT;
	struct file *f = opened("image", 0);
	struct file *undo = opened("undo", FILE_CREATE | FILE_EXCLUSIVE);

	f = file_undo_new(f, undo, &e);
	must(f != NULL);
	return f;
}

static int applied(struct file_undo_applied *a, struct err *e)
{
	struct file *image = file_open("image", FILE_WRITE, e);
	struct file *undo = image ? file_open("undo", 0, e) : NULL;
	int ret = undo ? file_undo_apply(undo, image, a, e) : -1;

	file_drop(undo);
	file_drop(image);
	return ret;
}

static void what_was_written_is_taken_back(void)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct file_undo_applied a;
		struct err e = ERR_INIT;

		image_make(seed);
		struct file *f = undo_begin();

		for (int i = 0; i < STEPS; i++)
			step(f);
		CHECK(reads_as(f, model, model_size));
		CHECK(file_close(f, &e) == 0);
		CHECK(image_is(model, model_size));
		for (int i = 0; i < 2; i++)
			CHECK(applied(&a, &e) == 0 && !a.torn && image_is(original, original_size));
	}
}

static uint64_t work_seed;

static void work(void)
{
	struct err e = ERR_INIT;

	random_state = work_seed;
	struct file *f = undo_begin();

	for (int i = 0; i < STEPS; i++)
		step(f);
	must(file_close(f, &e) == 0);
}

/* Before the undo file is whole nothing was overwritten. */
static void crash_judge(const char *fault)
{
	struct file_undo_applied a;
	struct err e = ERR_INIT;

	if (applied(&a, &e) < 0)
		CHECK(e.code == ERR_INVALID || e.code == ERR_IO);
	CHECK(image_is(original, original_size));
	if (check_failed)
		printf("# %s: %s\n", fault, e.text);
}

enum crash_op { OP_STOPS, OP_LOSES };

static void crashes(enum crash_op op, uint64_t seeds)
{
	for (uint64_t seed = 1; seed <= seeds; seed++)
		for (int n = 1; !check_failed; n += 1 + n / 4) {
			char fault[64];

			if (op == OP_LOSES)
				snprintf(fault, sizeof fault, "crash:flush:%d:%d", n, (int)seed);
			else
				snprintf(fault, sizeof fault, "crash:write:%d", n);
			work_seed = seed;
			image_make(seed);
			int status = status_with(fault, work);

			CHECK(status == FAULT_EXIT || status == 0);
			crash_judge(fault);
			if (status == 0) {
				CHECK(n > 4);
				break;
			}
		}
}

static void a_crash_at_a_write_can_be_taken_back(void)
{
	crashes(OP_STOPS, 3);
}

static void a_crash_that_loses_writes_can_be_taken_back(void)
{
	crashes(OP_LOSES, 6);
}

/* In the middle of putting back. */
static void apply_work(void)
{
	struct file_undo_applied a;
	struct err e = ERR_INIT;

	must(applied(&a, &e) == 0);
}

static void putting_back_may_crash(void)
{
	for (int n = 1, status = FAULT_EXIT; status == FAULT_EXIT; n++) {
		struct file_undo_applied a;
		struct err e = ERR_INIT;
		char fault[64];

		image_make(7);
		work_seed = 7;
		work();
		snprintf(fault, sizeof fault, "crash:write:%d", n);
		status = status_with(fault, apply_work);
		CHECK(applied(&a, &e) == 0 && image_is(original, original_size));
		CHECK(n < 1000);
	}
}

static void damage(const char *name, long at)
{
	FILE *f = fopen(name, "r+b");
	int c;

	must(f && fseek(f, at, SEEK_SET) == 0 && (c = fgetc(f)) != EOF &&
	     fseek(f, at, SEEK_SET) == 0 && fputc(c ^ 1, f) != EOF && fclose(f) == 0);
}

static void another_image_is_refused(void)
{
	struct file_undo_applied a;
	struct err e = ERR_INIT;
	struct file *f;

	image_make(9);
	f = undo_begin();
	CHECK(file_write_at(f, 5000, "hello", 5, &e) == 0 && file_close(f, &e) == 0);
	memcpy(model + 5000, "hello", 5);
	CHECK(image_is(model, model_size));
	damage("image", 1); /* behind the undo file's back */
	CHECK(applied(&a, &e) < 0 && e.code == ERR_INVALID && strstr(e.text, "another image"));
	model[1] ^= 1;
	CHECK(image_is(model, model_size));

	damage("image", 1);
	damage("undo", 40);
	e = ERR_INIT;
	CHECK(applied(&a, &e) < 0 && e.code == ERR_INVALID);
	damage("undo", 40);
	damage("undo", 4096 + 50); /* in the bytes of the only record */
	e = ERR_INIT;
	CHECK(applied(&a, &e) < 0 && e.code == ERR_INVALID); /* what it was for is overwritten */
	CHECK(file_made("image", original, original_size));
	e = ERR_INIT;
	CHECK(applied(&a, &e) == 0 && a.torn && a.bytes == 0);
	CHECK(file_made("undo", (const uint8_t *)"nothing", 7));
	CHECK(applied(&a, &e) < 0 && e.code == ERR_INVALID);
}

/* --- plans --- */

static void changes_compare(struct file *plan)
{
	static bool covered[IMAGE_MAX];
	struct file_plan_range *ranges;
	struct err e = ERR_INIT;
	uint64_t end = 0;
	size_t nr;

	memset(covered, 0, sizeof covered);
	CHECK(file_plan_changes(plan, &ranges, &nr, &e) == 0);
	for (size_t i = 0; i < nr; i++) {
		CHECK(ranges[i].len && ranges[i].off >= end && ranges[i].off + ranges[i].len <= model_size);
		end = ranges[i].off + ranges[i].len;
		CHECK(original[ranges[i].off] != model[ranges[i].off] &&
		      original[end - 1] != model[end - 1]);
		memset(covered + ranges[i].off, true, ranges[i].len);
	}
	for (size_t i = 0; i < MIN(original_size, model_size); i++)
		if (!covered[i] && original[i] != model[i]) {
			CHECK(!"a change is not listed");
			break;
		}
	free(ranges);
}

static void a_plan_leaves_the_file_alone(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct err e = ERR_INIT;

		image_make(seed);
		struct file *plan = file_plan_new(file_open("image", 0, &e), &e);

		for (int i = 0; i < STEPS / 4; i++) {
			step(plan);
			CHECK(reads_as(plan, model, model_size));
		}
		CHECK(file_plan_old_size(plan) == original_size);
		changes_compare(plan);
		CHECK(file_close(plan, &e) == 0 && image_is(original, original_size));
	}
}

int main(void)
{
	if (!mkdtemp(place) || chdir(place) < 0)
		return 1;
	RUN(what_was_written_is_taken_back);
	RUN(a_crash_at_a_write_can_be_taken_back);
	RUN(a_crash_that_loses_writes_can_be_taken_back);
	RUN(putting_back_may_crash);
	RUN(another_image_is_refused);
	RUN(a_plan_leaves_the_file_alone);
	unlink("image");
	unlink("undo");
	if (chdir("/") < 0 || rmdir(place) < 0)
		return 1;
	return DONE();
}
