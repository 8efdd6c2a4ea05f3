/* Undo files of an image that somebody else wrote to since. */
#include "fault_help.h"

#include "base/bytes.h"
#include "check.h"
#include "io/file_undo.h"

#define OLD (40 * SECTOR + 100) /* bytes of the image: it ends inside a sector */
#define NEW (64 * SECTOR)
#define NOTED 20 /* sector that the undo file was told of */

static char place[] = "/tmp/qcow2-since-XXXXXX";
static uint8_t original[OLD];

static void image_make(void)
{
	for (size_t i = 0; i < sizeof original; i++)
		original[i] = (uint8_t)(i / 100 + i);
	if (!file_made("image", original, sizeof original))
		abort();
	unlink("undo");
}

static struct file *undo_begin(void)
{
	struct err e = ERR_INIT;
	struct file *f = file_undo_new(opened("image", 0),
				       opened("undo", FILE_CREATE | FILE_EXCLUSIVE), &e);

	must(f != NULL);
	return f;
}

/* The first two blocks are written twice, the file grows, and a sector becomes known. */
static void work(void)
{
	struct err e = ERR_INIT;
	struct file *f = undo_begin();

	must(file_undo_note(f, NOTED * SECTOR, SECTOR, &e) == 0);
	put(f, 0, 16, 'a');
	flush(f);
	put(f, 8, 4, 'b');
	put(f, 48, 8, 'c');
	must(file_write_at(f, NEW - 1, "", 1, &e) == 0);
	flush(f);
	must(file_close(f, &e) == 0);
}

static int applied(struct err *e)
{
	struct file_undo_applied a;
	struct file *image = opened("image", 0), *undo = opened("undo", 0);
	int ret = file_undo_apply(undo, image, &a, e);

	file_drop(undo);
	file_drop(image);
	return ret;
}

static bool is_original(void)
{
	struct content c = content_of("image");

	return c.n == sizeof original && memcmp(c.bytes, original, c.n) == 0;
}

static void change(double sector, double nr, uint8_t value)
{
	struct err e = ERR_INIT;
	struct file *f = opened("image", 0);

	put(f, sector, nr, value);
	must(file_close(f, &e) == 0);
}

static void length_set(double sectors)
{
	struct err e = ERR_INIT;
	struct file *f = opened("image", 0);

	cut(f, sectors);
	must(file_close(f, &e) == 0);
}

static void refused(void)
{
	struct content before = content_of("image"), after;
	struct err e = ERR_INIT;

	CHECK(applied(&e) < 0 && e.code == ERR_INVALID);
	CHECK(strstr(e.text, "changed since") != NULL);
	after = content_of("image");
	CHECK(before.n == after.n &&
	      memcmp(before.bytes, after.bytes, sizeof before.bytes) == 0);
}

static const struct {
	double sector, nr;
} changes[] = {
	{ 0, 1 },            /* written once */
	{ 8, 1 },            /* written twice */
	{ 15.5, .25 },       /* in the middle of one */
	{ NOTED + .75, .1 }, /* known */
	{ 48, 1 },           /* new */
	{ 58, 1 },           /* new, and zeros */
};

static void what_others_wrote_stays(void)
{
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		image_make();
		work();
		change(changes[i].sector, changes[i].nr, 'z');
		refused();
	}
	/* An older state of a sector is none that was left. */
	image_make();
	work();
	change(8, 1, 'a');
	refused();
}

static void another_length_is_refused(void)
{
	static const double lengths[] = { NEW / SECTOR + 1, NEW / SECTOR - 1, 50, 39, 0 };

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		image_make();
		work();
		length_set(lengths[i]);
		refused();
	}
	/* What grew is gone, but nothing was put back before that. */
	image_make();
	work();
	length_set((double)OLD / SECTOR);
	refused();
}

/* Whatever of the sectors was put back already. */
static void half_of_it_may_be_put_back(void)
{
	for (unsigned mask = 0; mask < 1u << 8; mask++) {
		struct err e = ERR_INIT;
		struct file *f;

		image_make();
		work();
		f = opened("image", 0);
		for (unsigned i = 0; i < 16; i++)
			if (mask >> i / 2 & 1)
				must(file_write_at(f, i * SECTOR, original + i * SECTOR,
						   SECTOR, &e) == 0);
		must(file_close(f, &e) == 0);
		CHECK(applied(&e) == 0 && is_original());
		CHECK(applied(&e) == 0 && is_original());
	}
}

/* After a crash nothing tells where the work ended. */
static void after_a_crash_as_well(void)
{
	for (int n = 1, status = FAULT_EXIT; status == FAULT_EXIT; n++) {
		struct err e = ERR_INIT;
		struct content c;
		char fault[64];

		snprintf(fault, sizeof fault, "crash:write:%d", n);
		image_make();
		status = status_with(fault, work);
		c = content_of("image");
		if (c.n > 16 * SECTOR && is_all(&c, 0, 8, 'a')) {
			change(NOTED, 1, 'z');
			refused();
			change(NOTED, 1, 0);
			must(file_made("image", c.bytes, c.n));
			change(0, 1, 'z');
			refused();
			must(file_made("image", c.bytes, c.n));
			change(100, 1, 'z');
			refused();
			must(file_made("image", c.bytes, c.n));
			CHECK(applied(&e) == 0 && is_original());
		}
	}
}

static void an_older_version_is_refused(void)
{
	struct err e = ERR_INIT;
	uint8_t head[4096] = "qcow2und\0\0\0\1";

	image_make();
	be32_put(head + 4092, UINT32_C(0x338401d9)); /* the CRC-32 of what is before */
	CHECK(file_made("undo", head, sizeof head));
	CHECK(applied(&e) < 0 && e.code == ERR_UNSUPPORTED && is_original());
	CHECK(strstr(e.text, "it is of version 1") == e.text);
}

static void an_empty_one_says_so(void)
{
	struct err e = ERR_INIT;

	image_make();
	CHECK(file_made("undo", original, 0));
	CHECK(applied(&e) < 0 && e.code == ERR_INVALID &&
	      strstr(e.text, "it is empty") == e.text);
}

int main(void)
{
	if (!mkdtemp(place) || chdir(place) < 0)
		return 1;
	RUN(what_others_wrote_stays);
	RUN(another_length_is_refused);
	RUN(half_of_it_may_be_put_back);
	RUN(after_a_crash_as_well);
	RUN(an_older_version_is_refused);
	RUN(an_empty_one_says_so);
	unlink("image");
	unlink("undo");
	if (chdir("/") < 0 || rmdir(place) < 0)
		return 1;
	return DONE();
}
