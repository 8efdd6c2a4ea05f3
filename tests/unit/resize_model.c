/* Disks of random layouts that grow, shrink and are written to, against a plain array: what the disk
 * reads must be the same after each change, the check must find nothing, and snapshots stay.
 *
 * MODEL_ROUNDS, MODEL_SEED and MODEL_REFERENCE as in write_model.c. */
#include "model_help.h"

#include "check.h"
#include "image/resize.h"
#include "image/writer.h"
#include "ops/create.h"

#define ROUNDS	       40
#define SNAPSHOTS_MOST 3

static char place[] = "/tmp/qcow2-resizes-XXXXXX";
static bool ask_reference;

struct round {
	struct create_options o;
	struct model m;
	struct model snapshots[SNAPSHOTS_MOST];
	unsigned snapshot_nr;
};

static bool run(const char *command)
{
	return system(command) == 0;
}

static uint64_t some_size(void)
{
	return align_up(below(one_in(4) ? 3 << 20 : 300000) + 1, SECTOR_SIZE);
}

/* A disk full of something, compressed or not. */
static bool full_image_make(struct round *r, struct err *e)
{
	struct convert_options c = { .source_nr = 1, .count = UINT64_MAX, .target = "t.qcow2",
				     .format = FORMAT_QCOW2, .create = r->o,
				     .target_flags = FILE_NO_FLUSH, .sparse = 4096, .workers = 1 };
	struct disk *d = NULL;

	c.compress = !r->o.data_file && !r->o.preallocation && one_in(2);
	bool good = model_save(&r->m, "s.raw") && (d = disk_of("s.raw", FORMAT_RAW, DISK_HOLES, e));

	c.sources = &d;
	good = good && convert(&c, e) == 0;
	disk_close(d);
	return good;
}

/* An empty one over a file that is shorter or longer. */
static bool overlay_make(struct round *r, struct err *e)
{
	struct model b = model_new(align_up(below(3 * r->m.size) + 1, SECTOR_SIZE));
	struct new_image n = { .path = "t.qcow2", .format = FORMAT_QCOW2, .has_size = true };

	r->o.backing_name = "b.raw";
	r->o.backing_format = "raw";
	n.options = r->o;
	n.options.size = r->m.size;
	memset(r->m.bytes, 0, r->m.size);
	memcpy(r->m.bytes, b.bytes, MIN(r->m.size, b.size));
	bool good = model_save(&b, "b.raw") && new_image_make(&n, e) == 0;

	free(b.bytes);
	return good;
}

static bool image_make(struct round *r, struct err *e)
{
	bool backing = one_in(3);

	r->o = some_options(backing);
	r->m = model_new(some_size());
	return backing ? overlay_make(r, e) : full_image_make(r, e);
}

static void model_resize(struct model *m, uint64_t size)
{
	uint8_t *bytes = calloc(1, size + 1);

	memcpy(bytes, m->bytes, MIN(size, m->size));
	free(m->bytes);
	*m = (struct model){ bytes, size };
}

static bool is_v2_with_snapshots(const struct round *r)
{
	return r->o.version < 3 && r->snapshot_nr;
}

static bool resize_some(struct round *r, struct err *e)
{
	struct disk_options how = { .flags = DISK_WRITE, .write_flags = FILE_NO_FLUSH };
	struct resize_options o = { .size = one_in(6) ? MAX(r->m.size / 2 & ~511ull, 512)
						      : some_size() };
	struct spec s;
	struct disk *d = spec_path(&s, "t.qcow2", FORMAT_QCOW2) ? disk_open(&s, &how, e) : NULL;

	if (one_in(3) && o.size > r->m.size)
		o.preallocation = (enum preallocation)below(4);
	bool good = d && image_resize(d, &o, NULL, e) == 0 && disk_size(d) == o.size;

	disk_close(d);
	spec_fini(&s);
	if (good)
		model_resize(&r->m, o.size);
	return good;
}

static bool write_some(struct round *r, struct err *e)
{
	struct disk_options how = { .flags = DISK_WRITE, .write_flags = FILE_NO_FLUSH };
	struct spec s;
	struct disk *d = spec_path(&s, "t.qcow2", FORMAT_QCOW2) ? disk_open(&s, &how, e) : NULL;
	struct image_writer *w = d ? image_writer_new(d, NULL, NULL, e) : NULL;
	bool good = w != NULL;

	for (uint64_t i = below(8); good && i > 0; i--) {
		uint64_t at = one_in(4) ? below(r->m.size) : align_down(below(r->m.size), 4096);
		/* the end of the disk is where the interest lies */
		uint64_t len = one_in(3) ? r->m.size - at : some_length(r->m.size - at);
		bool zero = one_in(4);

		model_fill_range(&r->m, at, len, zero ? FILL_ZERO : (enum filling)below(FILLINGS));
		good = (zero ? image_write_zeros(w, at, len, one_in(2), e)
			     : image_write(w, at, r->m.bytes + at, len, e)) == 0;
	}
	good = good && image_writer_finish(w, e) == 0;
	image_writer_free(w);
	disk_close(d);
	spec_fini(&s);
	return good;
}

static bool others_write(const struct round *r)
{
	char command[256];
	uint64_t at = align_down(below(r->m.size), 512);
	uint64_t len = MIN(align_up(some_length(r->m.size - at), 512), r->m.size - at);

	memset(r->m.bytes + at, 0x5a, len);
	snprintf(command, sizeof command,
		 "qemu-io -f qcow2 -c 'write -P 0x5a %llu %llu' t.qcow2 >/dev/null",
		 (unsigned long long)at, (unsigned long long)len);
	return run(command);
}

/* The other tools take their turn. */
static bool others(struct round *r)
{
	char command[256];

	if (!ask_reference)
		return true;
	if (r->snapshot_nr < SNAPSHOTS_MOST && !r->o.data_file && r->o.refcount_order > 2 &&
	    one_in(2)) {
		struct model *m = &r->snapshots[r->snapshot_nr];

		*m = (struct model){ malloc(r->m.size), r->m.size };
		memcpy(m->bytes, r->m.bytes, r->m.size);
		snprintf(command, sizeof command, "qemu-img snapshot -c s%u t.qcow2",
			 r->snapshot_nr++);
		if (!run(command))
			return false;
	}
	if (one_in(2) && !others_write(r))
		return false;
	return run("qemu-img check -q -f qcow2 t.qcow2");
}

static bool snapshot_is(const struct round *r, unsigned i, struct err *e)
{
	char id[16];
	struct disk_options o = { .snapshot_name = id };
	struct spec s;

	snprintf(id, sizeof id, "s%u", i);
	struct disk *d = spec_path(&s, "t.qcow2", FORMAT_QCOW2) ? disk_open(&s, &o, e) : NULL;
	struct disk_reader *reader = d ? disk_reader_new(d, e) : NULL;
	uint8_t *buf = malloc(r->snapshots[i].size);
	bool same = reader && disk_size(d) == r->snapshots[i].size &&
		    disk_read(reader, 0, buf, r->snapshots[i].size, e) == 0 &&
		    !memcmp(buf, r->snapshots[i].bytes, r->snapshots[i].size);

	free(buf);
	disk_reader_free(reader);
	disk_close(d);
	spec_fini(&s);
	return same;
}

static bool all_is_well(const struct round *r, struct err *e)
{
	if (!image_is_clean("t.qcow2", e) || !disk_is("t.qcow2", FORMAT_QCOW2, &r->m, e))
		return false;
	for (unsigned i = 0; i < r->snapshot_nr; i++)
		if (!snapshot_is(r, i, e))
			return false;
	return true;
}

/* In raw mode the data file is the disk; others leave it longer. */
static bool data_file_is(const struct round *r)
{
	char command[256];

	snprintf(command, sizeof command, "cmp -n %llu want.raw data.raw",
		 (unsigned long long)r->m.size);
	return !r->o.data_file_raw || (model_save(&r->m, "want.raw") && run(command));
}

static bool round_run(struct err *e)
{
	struct round r = { 0 };
	bool good = image_make(&r, e);

	for (unsigned i = 0; good && i < 10; i++) {
		good = write_some(&r, e) && others(&r);
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
	const char *rounds = getenv("MODEL_ROUNDS"), *seed = getenv("MODEL_SEED");
	unsigned nr = rounds ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;
	uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;

	for (unsigned i = 0; i < nr; i++) {
		struct err e = ERR_INIT;

		model_seed = first + i;
		bool good = round_run(&e);

		CHECK(good);
		if (!good) {
			printf("# MODEL_SEED=%llu: %s; files are in %s\n",
			       (unsigned long long)first + i, e.text, place);
			return;
		}
		CHECK(run("rm -f *.raw *.qcow2"));
	}
}

int main(void)
{
	ask_reference = getenv("MODEL_REFERENCE") != NULL;
	CHECK(mkdtemp(place) && chdir(place) == 0);
	RUN(disks_change_their_size_and_nothing_else);
	rmdir(place); /* it stays while something is in it */
	return DONE();
}
