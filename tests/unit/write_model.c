/* Random writes, zeros, discards and snapshots in random layouts, against plain arrays: what the disk
 * reads must be the same at any time, and after each batch the check must find nothing and every
 * snapshot hold what it held. A bitmap must tell of everything that has changed.
 *
 * MODEL_ROUNDS: how many images (a few seconds by default). MODEL_SEED: where to begin; the seed of
 * a round that fails is printed. MODEL_REFERENCE=1: other tools take snapshots, write in between and
 * look at the images too. */
#include "model_help.h"

#include "check.h"
#include "image/bitmaps.h"
#include "image/packer.h"
#include "image/snapshots.h"
#include "image/writer.h"
#include "ops/bitmap.h"
#include "ops/create.h"

#define ROUNDS 40
#define SNAPSHOTS_MOST 5

static char place[] = "/tmp/qcow2-writes-XXXXXX";
static bool ask_reference;

struct round {
	struct create_options o;
	struct model m;
	struct model snapshots[SNAPSHOTS_MOST]; /* in the order of the image's table */
	unsigned names[SNAPSHOTS_MOST];
	unsigned snapshot_nr, taken;
	struct model start; /* what it was when the bitmap was made; no bytes: there is none */
};

static bool run(const char *command)
{
	return system(command) == 0;
}

/* An image full of something, or an empty one over a raw file. */
static bool image_make(struct round *r, struct err *e)
{
	bool backing = one_in(3);
	uint64_t size = align_up(below(one_in(4) ? 3 << 20 : 300000) + 1, SECTOR_SIZE);

	r->o = some_options(backing);
	r->m = model_new(size);
	if (!backing) {
		struct convert_options c = { .source_nr = 1, .count = UINT64_MAX,
					     .target = "t.qcow2", .format = FORMAT_QCOW2,
					     .create = r->o, .target_flags = FILE_NO_FLUSH,
					     .sparse = 4096, .workers = 1 };
		struct disk *d = NULL;

		c.compress = !r->o.data_file && !r->o.preallocation && one_in(2);
		bool good = model_save(&r->m, "s.raw") &&
			    (d = disk_of("s.raw", FORMAT_RAW, DISK_HOLES, e));

		c.sources = &d;
		good = good && convert(&c, e) == 0;
		disk_close(d);
		return good;
	}
	struct model b = model_new(align_up(below(2 * size) + 1, SECTOR_SIZE));
	struct new_image n = { .path = "t.qcow2", .format = FORMAT_QCOW2, .options = r->o,
			       .has_size = true };

	n.options.size = size;
	n.options.backing_name = r->o.backing_name = "b.raw";
	n.options.backing_format = "raw";
	memset(r->m.bytes, 0, size);
	memcpy(r->m.bytes, b.bytes, MIN(size, b.size));
	bool good = model_save(&b, "b.raw") && new_image_make(&n, e) == 0;

	free(b.bytes);
	return good;
}

static bool write_some(struct image_writer *w, struct model *m, uint64_t at, uint64_t len,
		       struct err *e)
{
	model_fill_range(m, at, len, (enum filling)below(FILLINGS));
	return image_write(w, at, m->bytes + at, len, e) == 0;
}

static bool discard_some(struct image_writer *w, struct round *r, uint64_t at, uint64_t len,
			 struct err *e)
{
	uint64_t size = UINT64_C(1) << r->o.cluster_bits, from = align_up(at, size);
	uint64_t to = at + len == r->m.size ? r->m.size : align_down(at + len, size);

	if (from < to && (r->o.version > 2 || !r->o.backing_name))
		memset(r->m.bytes + from, 0, to - from);
	return image_discard(w, at, len, e) == 0;
}

/* A whole cluster, packed if it gets smaller by that. */
static bool pack_some(struct image_writer *w, struct round *r, uint64_t at, struct err *e)
{
	size_t size = (size_t)1 << r->o.cluster_bits, len;
	struct packer *p = packer_new(size, r->o.compression, 1, e);
	uint8_t *in = calloc(1, size), *out = malloc(size);

	at = align_down(at, size);
	len = MIN(size, r->m.size - at);
	model_fill_range(&r->m, at, len, one_in(2) ? FILL_TEXT : FILL_SPECK);
	memcpy(in, r->m.bytes + at, len);
	uint32_t n = p ? packer_pack(p, in, out) : 0;
	bool good = n && !r->o.data_file ? image_write_packed(w, at, out, n, e) == 0
					 : image_write(w, at, in, len, e) == 0;

	packer_free(p);
	free(in);
	free(out);
	return good;
}

static bool read_some(struct disk *d, const struct model *m, struct err *e)
{
	uint64_t at = below(m->size), len = some_length(m->size - at);
	struct disk_reader *r = disk_reader_new(d, e);
	uint8_t *buf = malloc(len);
	bool same = r && disk_read(r, at, buf, len, e) == 0 && !memcmp(buf, m->bytes + at, len);

	if (!same)
		printf("# read of %llu at %llu differs\n", (unsigned long long)len,
		       (unsigned long long)at);
	free(buf);
	disk_reader_free(r);
	return same;
}

static bool some_change(struct disk *d, struct image_writer *w, struct round *r, struct err *e)
{
	uint64_t at = one_in(4) ? below(r->m.size) : align_down(below(r->m.size), 4096);
	uint64_t len = some_length(r->m.size - at);

	switch (below(10)) {
	case 0:
		memset(r->m.bytes + at, 0, len);
		return image_write_zeros(w, at, len, one_in(2), e) == 0;
	case 1:
		return discard_some(w, r, at, len, e);
	case 2:
		return read_some(d, &r->m, e);
	case 3:
		return pack_some(w, r, at, e);
	case 4:
		return one_in(8) ? image_writer_finish(w, e) == 0 : image_writer_relax(w, e) == 0;
	default:
		return write_some(w, &r->m, at, len, e);
	}
}

static struct image_writer *writer_open(struct disk **d, struct err *e)
{
	struct disk_options o = { .flags = DISK_WRITE, .write_flags = FILE_NO_FLUSH };
	const struct snapshot_entry *all;
	uint32_t nr;
	struct spec s;

	*d = spec_path(&s, "t.qcow2", FORMAT_QCOW2) ? disk_open(&s, &o, e) : NULL;
	spec_fini(&s);
	return *d && image_snapshots(disk_image(*d, 0), &all, &nr, e) == 0
		       ? image_writer_new(*d, NULL, NULL, e)
		       : NULL;
}

static bool batch(struct round *r, unsigned changes, struct err *e)
{
	struct disk *d;
	struct image_writer *w = writer_open(&d, e);
	bool good = w != NULL;

	for (unsigned i = 0; good && i < changes; i++)
		good = some_change(d, w, r, e);
	good = good && image_writer_finish(w, e) == 0;
	image_writer_free(w);
	disk_close(d);
	return good;
}

/* --- snapshots --- */

static void snapshot_keep(struct round *r)
{
	struct model *m = &r->snapshots[r->snapshot_nr];

	*m = (struct model){ malloc(r->m.size), r->m.size };
	memcpy(m->bytes, r->m.bytes, r->m.size);
	r->names[r->snapshot_nr++] = r->taken++;
}

static void snapshot_forget(struct round *r, unsigned i)
{
	free(r->snapshots[i].bytes);
	memmove(&r->snapshots[i], &r->snapshots[i + 1],
		(--r->snapshot_nr - i) * sizeof *r->snapshots);
	memmove(&r->names[i], &r->names[i + 1], (r->snapshot_nr - i) * sizeof *r->names);
}

/* Counts of up to 8 bits may not hold the owners of all compressed clusters that lie in one, and with
 * a data file there are no snapshots. */
static bool may_refuse(const struct round *r, struct err *e)
{
	bool may = r->o.data_file ? e->code == ERR_UNSUPPORTED
				  : r->o.refcount_order < 4 && e->code == ERR_INVALID;

	if (may)
		*e = (struct err)ERR_INIT;
	return may;
}

static bool snapshot_take(struct round *r, struct image_writer *w, struct err *e)
{
	char name[16];
	struct snapshot_new n = { name, 1700000000, 0 };

	snprintf(name, sizeof name, "s%u", r->taken);
	if (image_snapshot_create(w, &n, NULL, e) == 0) {
		snapshot_keep(r);
		return true;
	}
	return may_refuse(r, e);
}

static bool snapshots_delete(struct round *r, struct image_writer *w, struct err *e)
{
	uint32_t idx[SNAPSHOTS_MOST], nr = 0;

	for (uint32_t i = 0; i < r->snapshot_nr; i++)
		if (one_in(r->snapshot_nr))
			idx[nr++] = i;
	if (!nr)
		return true;
	if (image_snapshot_delete(w, idx, nr, NULL, e) < 0)
		return false;
	while (nr)
		snapshot_forget(r, idx[--nr]);
	return true;
}

static bool snapshot_apply(struct round *r, struct image_writer *w, struct err *e)
{
	unsigned i = (unsigned)below(r->snapshot_nr);

	/* Not while there are bitmaps. */
	if (r->start.bytes) {
		struct err refused = ERR_INIT;

		return image_snapshot_apply(w, i, NULL, &refused) < 0;
	}
	if (image_snapshot_apply(w, i, NULL, e) == 0) {
		memcpy(r->m.bytes, r->snapshots[i].bytes, r->m.size);
		return true;
	}
	return may_refuse(r, e);
}

/* One change of snapshots: a writer of its own. */
static bool snapshots_change(struct round *r, struct err *e)
{
	bool take = !r->snapshot_nr || (r->snapshot_nr < SNAPSHOTS_MOST && one_in(2));
	struct disk *d;
	struct image_writer *w = writer_open(&d, e);
	bool good = w && (take	      ? snapshot_take(r, w, e)
			  : one_in(2) ? snapshot_apply(r, w, e)
				      : snapshots_delete(r, w, e));

	image_writer_free(w);
	disk_close(d);
	return good;
}

/* The other tools take their turn. */
static bool others(struct round *r)
{
	char command[256];
	uint64_t at, len;

	if (!ask_reference)
		return true;
	if (r->snapshot_nr < SNAPSHOTS_MOST && !r->o.data_file && r->o.refcount_order > 2 &&
	    one_in(2)) {
		snprintf(command, sizeof command, "qemu-img snapshot -c s%u t.qcow2", r->taken);
		snapshot_keep(r);
		if (!run(command))
			return false;
	}
	at = align_down(below(r->m.size), 512);
	len = MIN(align_up(some_length(r->m.size - at), 512), r->m.size - at);
	memset(r->m.bytes + at, 0x5a, len);
	snprintf(command, sizeof command,
		 "qemu-io -f qcow2 -c 'write -P 0x5a %llu %llu' t.qcow2 >/dev/null",
		 (unsigned long long)at, (unsigned long long)len);
	return run(command) && run("qemu-img check -q -f qcow2 t.qcow2");
}

static bool snapshot_is(const struct round *r, unsigned i, struct err *e)
{
	char id[16];
	struct disk_options o = { .snapshot_name = id };
	struct spec s;

	snprintf(id, sizeof id, "s%u", r->names[i]);
	struct disk *d = spec_path(&s, "t.qcow2", FORMAT_QCOW2) ? disk_open(&s, &o, e) : NULL;
	struct disk_reader *reader = d ? disk_reader_new(d, e) : NULL;
	uint8_t *buf = malloc(r->m.size);
	bool same = reader && disk_read(reader, 0, buf, r->m.size, e) == 0 &&
		    !memcmp(buf, r->snapshots[i].bytes, r->m.size);

	free(buf);
	disk_reader_free(reader);
	disk_close(d);
	spec_fini(&s);
	return same;
}

static bool bitmap_make(struct round *r, struct err *e)
{
	struct bitmap_step step = { .action = BITMAP_ADD };
	struct spec s;
	struct bitmap_change c = { .spec = &s, .name = "b", .steps = &step, .steps_nr = 1,
				   .granularity = UINT64_C(512) << below(12) };

	if (r->o.version < 3 || one_in(3))
		return true;
	r->start = (struct model){ malloc(r->m.size), r->m.size };
	memcpy(r->start.bytes, r->m.bytes, r->m.size);
	bool good = spec_path(&s, "t.qcow2", FORMAT_QCOW2) && bitmap_change(&c, e) == 0;

	spec_fini(&s);
	return good;
}

/* What is not dirty is as it was. */
static bool rest_is_old(const struct round *r, struct bitmap_set *set, struct bitmap *b,
			struct err *e)
{
	uint64_t at = 0, guest = 0, len;

	do {
		if (bitmap_next(set, b, &guest, &len, e) < 0)
			return false;
		uint64_t end = len ? MIN(guest, r->m.size) : r->m.size;

		if (at < end && memcmp(r->m.bytes + at, r->start.bytes + at, end - at))
			return false;
		at = guest += len;
	} while (len && at < r->m.size);
	return true;
}

static bool bitmap_tells_all(const struct round *r, struct err *e)
{
	struct disk_options o = { .flags = DISK_NO_BACKING };
	struct bitmap_set set = { 0 };
	struct bitmap *b = NULL;
	struct spec s;

	if (!r->start.bytes)
		return true;
	struct disk *d = spec_path(&s, "t.qcow2", FORMAT_QCOW2) ? disk_open(&s, &o, e) : NULL;

	if (d && bitmap_set_load(&set, disk_image(d, 0), e) == 0)
		b = bitmap_find(&set, (struct bytes){ (const uint8_t *)"b", 1 });
	bool good = b && rest_is_old(r, &set, b, e);

	if (!good)
		printf("# the bitmap does not tell all\n");
	bitmap_set_fini(&set);
	disk_close(d);
	spec_fini(&s);
	return good;
}

static bool all_is_well(const struct round *r, struct err *e)
{
	if (!image_is_clean("t.qcow2", e) || !disk_is("t.qcow2", FORMAT_QCOW2, &r->m, e) ||
	    !bitmap_tells_all(r, e))
		return false;
	for (unsigned i = 0; i < r->snapshot_nr; i++)
		if (!snapshot_is(r, i, e))
			return false;
	return true;
}

static bool round_run(struct err *e)
{
	struct round r = { 0 };
	bool good = image_make(&r, e) && bitmap_make(&r, e);

	for (unsigned i = 0; good && i < 6; i++)
		good = batch(&r, (unsigned)below(60) + 1, e) && all_is_well(&r, e) &&
		       snapshots_change(&r, e) && all_is_well(&r, e) && others(&r);
	good = good && all_is_well(&r, e);
	for (unsigned i = 0; i < r.snapshot_nr; i++)
		free(r.snapshots[i].bytes);
	free(r.start.bytes);
	free(r.m.bytes);
	return good;
}

static void writes_are_what_a_plain_array_would_hold(void)
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
	RUN(writes_are_what_a_plain_array_would_hold);
	rmdir(place); /* it stays while something is in it */
	return DONE();
}
