#pragma once
/* Repairs bytes as an image, and holds what it said against what is there then: the next check
 * finds what the repair said was left, and where that was nothing a second repair writes nothing.
 * The file does not grow to wherever a bad pointer goes. */
#include <sys/stat.h>

#include "judge.h"
#include "ops/repair.h"

static inline bool judge_same(const struct judge *j, const uint8_t *data, size_t size)
{
	uint8_t *now = malloc(size + 1);
	struct stat st;
	bool same = now && fstat(j->fd, &st) == 0 && (size_t)st.st_size == size &&
		    pread(j->fd, now, size, 0) == (ssize_t)size && !memcmp(now, data, size);

	free(now);
	return same;
}

/* False: it could not be opened, or the repair could not be done. */
static inline bool judge_mend(struct judge *j, const struct repair_options *o,
			      struct repair_result *r)
{
	const struct repair_file how = { .write_flags = FILE_NO_FLUSH };
	struct image *img = NULL;
	struct err e = ERR_INIT;
	bool done = repair_open(&j->spec, &how, NULL, &img, &e) == 0 && img &&
		    repair_image(img, o, r, &e) == 0;

	if (!done && e.code)
		fuzz_refused(&e);
	image_close(img);
	return done;
}

static inline bool judge_look(struct judge *j, struct check_result *r)
{
	const struct check_options o = { 0 };
	struct image *img = NULL;
	struct err e = ERR_INIT;
	bool done = check_open(&j->spec, NULL, &img, &e) == 0 && img &&
		    check_image(img, &o, r, &e) == 0;

	image_close(img);
	return done;
}

static inline bool judge_is_clean(const struct check_result *r)
{
	return !r->corruptions && !r->leaks && !r->check_errors;
}

/* Returns whether the image was repaired: nothing is left. */
static inline bool judge_repair(const uint8_t *data, size_t size, const struct repair_options *o)
{
	struct judge j = judge_open(data, size);
	struct check_result before = { 0 }, after = { 0 };
	struct repair_result r = { 0 }, again = { 0 };
	struct stat st;
	bool clean = false, looked = judge_look(&j, &before);

	AGREE(judge_same(&j, data, size));
	if (judge_mend(&j, o, &r)) {
		AGREE(looked && judge_look(&j, &after));
		AGREE(after.corruptions == r.check.corruptions && after.leaks == r.check.leaks &&
		      after.check_errors == r.check.check_errors);
		AGREE(fstat(j.fd, &st) == 0 && (uint64_t)st.st_size <= 4 * size + (64u << 20));
		AGREE(r.changed || judge_same(&j, data, size));
		clean = judge_is_clean(&after);
		AGREE(judge_mend(&j, o, &again));
		AGREE(!clean || (!again.changed && judge_is_clean(&again.check)));
	}
	judge_close(&j);
	return clean;
}
