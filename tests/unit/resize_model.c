/* Disks of random layouts that grow, shrink and are written to, against a plain array: what the disk
 * reads must be the same after each change, the check must find nothing, and snapshots stay.
 * Variables: model_run.h. */
#include "image/resize.h"
#include "model_help.h"
#include "model_run.h"

#define ROUNDS	       40
#define SNAPSHOTS_MOST 3

static const char image[] = "t.qcow2";

struct round {
	struct create_options o;
	struct model m;
	struct model snapshots[SNAPSHOTS_MOST];
	unsigned snapshot_nr;
};

static bool is_v2_with_snapshots(const struct round *r)
{
	return r->o.version < 3 && r->snapshot_nr;
}

static bool resize_some(struct round *r, struct err *e)
{
	struct resize_options o = { .size = one_in(6) ? MAX(r->m.size / 2 & ~511ull, 512)
						      : some_disk_size() };
	struct disk *d = disk_of(image, FORMAT_QCOW2, DISK_WRITE, e);

	if (one_in(3) && o.size > r->m.size)
		o.preallocation = (enum preallocation)below(4);
	bool good = d && image_resize(d, &o, NULL, NULL, e) == 0 && disk_size(d) == o.size;

	disk_close(d);
	if (good)
		model_resize(&r->m, o.size);
	return good;
}

static bool write_here(struct round *r, struct err *e)
{
	struct session s;
	bool good = session_open(&s, image, e);

	for (uint64_t i = below(8); good && i > 0; i--) {
		uint64_t at, len;

		some_range(&r->m, &at, &len);
		/* the end of the disk is where the interest lies */
		len = one_in(3) ? r->m.size - at : len;
		good = one_in(4) ? zero_some(s.w, &r->m, at, len, e)
				 : write_some(s.w, &r->m, at, len, e);
	}
	return session_close(&s, good, e);
}

static bool others_write(const struct round *r)
{
	char command[512];
	uint64_t at = align_down(below(r->m.size), 512);
	uint64_t len = MIN(align_up(some_length(r->m.size - at), 512), r->m.size - at);

	memset(r->m.bytes + at, 0x5a, len);
	snprintf(command, sizeof command, "qemu-io -c 'write -q -P 0x5a %llu %llu' %s",
		 (unsigned long long)at, (unsigned long long)len, reference_name(&r->o, image));
	return shell(command);
}

/* The other tools take their turn. */
static bool others(struct round *r)
{
	char command[512];

	if (!ask_reference)
		return true;
	if (r->snapshot_nr < SNAPSHOTS_MOST && !r->o.data_file && r->o.refcount_order > 2 &&
	    one_in(2)) {
		r->snapshots[r->snapshot_nr] = model_copy(&r->m);
		snprintf(command, sizeof command, "qemu-img snapshot -c s%u %s",
			 r->snapshot_nr++, reference_name(&r->o, image));
		if (!shell(command))
			return false;
	}
	if (one_in(2) && !others_write(r))
		return false;
	return reference_is_content(&r->o, image);
}

static bool all_is_well(const struct round *r, struct err *e)
{
	char name[16];

	if (!image_is_clean(image, e) || !disk_is(image, FORMAT_QCOW2, &r->m, e))
		return false;
	for (unsigned i = 0; i < r->snapshot_nr; i++) {
		snprintf(name, sizeof name, "s%u", i);
		if (!snapshot_is(image, name, &r->snapshots[i], e))
			return false;
	}
	return true;
}

/* In raw mode the data file is the disk; others leave it longer. */
static bool data_file_is(const struct round *r)
{
	char command[256];

	snprintf(command, sizeof command, "cmp -n %llu want.raw data.raw",
		 (unsigned long long)r->m.size);
	return !r->o.data_file_raw || (model_save(&r->m, "want.raw") && shell(command));
}

static bool round_run(struct err *e)
{
	struct round r = { 0 };
	bool good = some_image(image, &r.o, &r.m, e);

	for (unsigned i = 0; good && i < 10; i++) {
		good = write_here(&r, e) && others(&r);
		if (good && !is_v2_with_snapshots(&r))
			good = resize_some(&r, e);
		good = good && all_is_well(&r, e) && data_file_is(&r);
		if (!good)
			printf("# step %u: %llu bytes\n", i, (unsigned long long)r.m.size);
	}
	for (unsigned i = 0; i < r.snapshot_nr; i++)
		free(r.snapshots[i].bytes);
	free(r.m.bytes);
	return good;
}

static void disks_change_their_size_and_nothing_else(void)
{
	model_rounds(round_run, ROUNDS, true);
}

int main(void)
{
	if (!model_begin())
		return 1;
	RUN(disks_change_their_size_and_nothing_else);
	return model_end();
}
