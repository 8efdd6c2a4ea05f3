/* Opens bytes as an image and changes it in place. Refusing is a fine answer; but what a check found
 * sound before must be sound afterwards, and hold what was written. The last eight bytes of the
 * input say what is written. */
#include "image/writer.h"
#include "judge.h"

#define STEPS	 12
#define LEN_MAX	 5000

static uint64_t chance;

static uint64_t below(uint64_t n)
{
	chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (chance >> 33) % n;
}

struct sum {
	bool known;
	uint64_t corruptions;
};

static void count_found(void *arg, const struct finding *f)
{
	++*(uint64_t *)arg;
}

static struct sum check(struct judge *j)
{
	struct image *img = NULL;
	struct check_result r;
	struct err e = ERR_INIT;
	uint64_t nr = 0;
	struct check_options o = { .found = count_found, .arg = &nr };
	struct sum s = { 0 };

	if (check_open(&j->spec, NULL, &img, &e) == 0 && check_image(img, &o, &r, &e) == 0)
		s = (struct sum){ !r.check_errors, r.corruptions };
	image_close(img);
	return s;
}

/* One change, and a look at it. */
static int step(struct disk *d, struct image_writer *w, struct err *e)
{
	static uint8_t bytes[LEN_MAX], back[LEN_MAX];
	uint64_t size = disk_size(d), reach = size < (1 << 20) || below(8) ? 1 << 20 : size;
	uint64_t at = below(reach < size ? reach : size), len = below(LEN_MAX) + 1;
	unsigned what = (unsigned)below(6);

	len = len < size - at ? len : size - at;
	memset(bytes, what < 3 ? (int)below(256) : 0, len);
	if (what < 3 ? image_write(w, at, bytes, len, e) < 0
	    : what < 5 ? image_write_zeros(w, at, len, what == 3, e) < 0
		       : image_writer_finish(w, e) < 0)
		return -1;
	struct disk_reader *r = what < 5 ? disk_reader_new(d, e) : NULL;

	if (r)
		AGREE(disk_read(r, at, back, len, e) == 0 && !memcmp(bytes, back, len));
	disk_reader_free(r);
	return 0;
}

static void change(struct judge *j)
{
	const struct disk_options how = { .flags = DISK_NO_BACKING | DISK_WRITE };
	struct err e = ERR_INIT;
	struct disk *d = disk_open(&j->spec, &how, &e);
	struct image_writer *w = d && disk_image(d, 0) ? image_writer_new(d, NULL, NULL, &e) : NULL;
	int ret = w ? 0 : -1;

	for (unsigned i = 0; ret == 0 && disk_size(d) && i < STEPS; i++)
		ret = step(d, w, &e);
	if (ret == 0)
		ret = image_writer_finish(w, &e);
	if (ret < 0)
		fuzz_refused(&e);
	image_writer_free(w);
	disk_close(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 8)
		return 0;
	memcpy(&chance, data + size - 8, 8);
	struct judge j = judge_open(data, size);
	struct sum before = check(&j);
	change(&j);
	if (before.known && !before.corruptions) {
		/* Leaks are another matter: bitmaps become void, and counts behind the end of the
		 * file come to light when it grows. */
		struct sum after = check(&j);

		AGREE(after.known && !after.corruptions);
	}
	judge_close(&j);
	return 0;
}
