/* Opens bytes as an image, and takes, deletes and applies snapshots. Refusing is a fine answer, and
 * then nothing is to be read differently; what a check found sound before must be sound afterwards.
 * Taking and deleting change nothing of the disk, and going back to what was just taken neither. The
 * last eight bytes of the input say what is done. */
#include "image/snapshot_sizes.h"
#include "image/snapshots.h"
#include "judge.h"
#include "ops/snapshot_diff.h"

#define STEPS  6
#define PIECES 16
#define PIECE  4096

static uint64_t chance;

static uint64_t below(uint64_t n)
{
	chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (chance >> 33) % n;
}

static void count_found(void *arg, const struct finding *f)
{
	++*(uint64_t *)arg;
}

/* Whether a check could look at all of it, and finds no more than leaks. */
static bool is_sound(struct judge *j)
{
	struct image *img = NULL;
	struct check_result r;
	struct err e = ERR_INIT;
	uint64_t nr = 0;
	struct check_options o = { .found = count_found, .arg = &nr };
	bool sound = check_open(&j->spec, NULL, &img, &e) == 0 &&
		     check_image(img, &o, &r, &e) == 0 && !r.check_errors && !r.corruptions;

	image_close(img);
	return sound;
}

/* What the disk reads as, here and there. */
struct view {
	uint64_t size;
	bool known[PIECES];
	uint8_t bytes[PIECES][PIECE];
};

static void view_take(struct judge *j, struct view *v)
{
	const struct disk_options how = { .flags = DISK_NO_BACKING };
	struct err e = ERR_INIT;
	struct disk *d = disk_open(&j->spec, &how, &e);
	struct disk_reader *r = d ? disk_reader_new(d, &e) : NULL;

	memset(v, 0, sizeof *v);
	v->size = d ? disk_size(d) : 0;
	for (unsigned i = 0; r && i < PIECES; i++) {
		uint64_t at = i < PIECES / 2 ? (uint64_t)i * PIECE : v->size / PIECES * i;
		uint64_t len = at < v->size ? v->size - at : 0;
		struct err why = ERR_INIT;

		if (len)
			v->known[i] = disk_read(r, at, v->bytes[i], len < PIECE ? len : PIECE,
						&why) == 0;
		if (!v->known[i])
			memset(v->bytes[i], 0, PIECE);
	}
	disk_reader_free(r);
	disk_close(d);
}

/* All of a disk could be a lot. */
static atomic_int enough;

static void count_steps(void *arg, uint64_t done, uint64_t total)
{
	if (++*(unsigned *)arg > 4)
		atomic_store(&enough, 1);
}

static int count_ranges(void *arg, const struct snapshot_range *r, struct err *e)
{
	++*(unsigned *)arg;
	return 0;
}

/* Looks for what differs from a snapshot. */
static void differences(struct judge *j, const char *name)
{
	const struct snapshot_diff d = { .spec = &j->spec, .from = name };
	unsigned steps = 0, ranges = 0;
	const struct watch w = { count_steps, &steps, &enough };
	struct err e = ERR_INIT;

	atomic_store(&enough, 0);
	if (snapshot_diff(&d, count_ranges, &ranges, &w, &e) < 0)
		fuzz_refused(&e);
}

/* What all of them have for themselves is at most what there is. */
static void sizes_add_up(struct image *img, uint32_t nr, bool sound)
{
	struct snapshot_size *sizes = calloc((size_t)nr + 1, sizeof *sizes);
	uint64_t sum = 0, rest = geom_clusters(image_geom(img), file_size(image_file(img)));
	struct err e = ERR_INIT;

	AGREE(sizes);
	if (image_snapshot_sizes(img, sizes, NULL, &e) < 0) {
		fuzz_refused(&e);
		AGREE(!sound);
	}
	for (uint32_t i = 0; !err_is(&e) && i < nr; i++)
		sum += sizes[i].exclusive >> image_geom(img)->cluster_bits;
	AGREE(sum <= rest);
	free(sizes);
}

enum action { TAKE, DELETE, APPLY, APPLY_LAST };

static int act(struct image_writer *w, enum action what, uint32_t nr, struct err *e)
{
	const struct snapshot_new n = { "taken", 1700000000, 5 };
	uint32_t idx[4], chosen = 0;

	if (what == TAKE)
		return image_snapshot_create(w, &n, NULL, e);
	if (!nr)
		return err_set(e, ERR_NOTFOUND, "there are no snapshots");
	if (what == APPLY)
		return image_snapshot_apply(w, (uint32_t)below(nr), NULL, e);
	if (what == APPLY_LAST)
		return image_snapshot_apply(w, nr - 1, NULL, e);
	for (uint32_t i = 0; i < nr && chosen < 4; i++)
		if (below(nr) < 2)
			idx[chosen++] = i;
	return image_snapshot_delete(w, idx, chosen, NULL, e);
}

static bool change(struct judge *j, enum action what, bool sound)
{
	const struct disk_options how = { .flags = DISK_NO_BACKING | DISK_WRITE };
	const struct snapshot_entry *all;
	struct image_writer *w = NULL;
	struct err e = ERR_INIT;
	struct disk *d = disk_open(&j->spec, &how, &e);
	uint32_t nr;
	int ret = -1;

	if (d && disk_image(d, 0) && image_snapshots(disk_image(d, 0), &all, &nr, &e) == 0) {
		sizes_add_up(disk_image(d, 0), nr, sound);
		w = image_writer_new(d, NULL, NULL, &e);
	}
	if (w)
		ret = act(w, what, nr, &e);
	if (ret < 0)
		fuzz_refused(&e);
	image_writer_free(w);
	disk_close(d);
	return ret == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct view before, after;

	if (size < 8)
		return 0;
	memcpy(&chance, data + size - 8, 8);
	struct judge j = judge_open(data, size);
	bool sound = is_sound(&j), taken = false;

	for (unsigned i = 0; i < STEPS; i++) {
		enum action what = (enum action)below(3);

		if (taken && what == APPLY)
			what = APPLY_LAST;
		if (sound)
			view_take(&j, &before);
		bool done = change(&j, what, sound);

		differences(&j, i % 2 ? "taken" : "1");
		if (!sound)
			continue;
		AGREE(is_sound(&j));
		view_take(&j, &after);
		if (!done || what != APPLY)
			AGREE(!memcmp(&before, &after, sizeof before));
		taken = done && what == TAKE;
	}
	judge_close(&j);
	return 0;
}
