/* Random images on random backing files get others, and none, and must read the same as before; what
 * a dry run says is what is copied.
 *
 * MODEL_ROUNDS: how many images. MODEL_SEED: where to begin; the seed of a round that fails is
 * printed. MODEL_REFERENCE=1: another tool reads and checks the images too. */
#include "model_help.h"

#include "check.h"
#include "image/writer.h"
#include "ops/create.h"
#include "ops/rebase.h"

#define ROUNDS 40

static char place[] = "/tmp/qcow2-rebase-XXXXXX";
static bool ask_reference;

/* A backing file: a raw file, or an image, packed or not, perhaps with another one behind it. */
static bool backing_make(const struct model *m, const char *raw, const char *qcow2, bool *is_raw,
			 struct err *e)
{
	struct convert_options c = { .source_nr = 1, .count = UINT64_MAX, .target = qcow2,
				     .format = FORMAT_QCOW2, .create = some_options(false),
				     .target_flags = FILE_NO_FLUSH, .sparse = 4096,
				     .workers = 1 };
	struct disk *d = NULL;

	*is_raw = one_in(3);
	if (!model_save(m, raw))
		return false;
	if (*is_raw)
		return true;
	c.create.data_file = NULL;
	c.create.data_file_raw = false;
	c.compress = !c.create.preallocation && one_in(2);
	d = disk_of(raw, FORMAT_RAW, DISK_HOLES, e);
	c.sources = &d;
	bool good = d && convert(&c, e) == 0;

	disk_close(d);
	return good;
}

/* The same bytes but for some ranges, and another length. */
static struct model model_like(const struct model *from)
{
	uint64_t size = one_in(3) ? from->size : align_up(below(from->size * 3 / 2) + 1, 512);
	struct model m = model_new(size);

	if (one_in(8))
		return m;
	memcpy(m.bytes, from->bytes, MIN(size, from->size));
	for (uint64_t i = below(12); i; i--) {
		uint64_t at = align_down(below(size), one_in(2) ? 512 : 4096);

		model_fill_range(&m, at, some_length(size - at), (enum filling)below(FILLINGS));
	}
	return m;
}

static void model_overlay(struct model *m, const struct model *behind)
{
	memset(m->bytes, 0, m->size);
	if (behind)
		memcpy(m->bytes, behind->bytes, MIN(m->size, behind->size));
}

static bool some_writes(struct model *m, bool zeros, struct err *e)
{
	struct disk_options o = { .flags = DISK_WRITE, .write_flags = FILE_NO_FLUSH };
	struct spec s;
	struct disk *d = spec_path(&s, "t.qcow2", FORMAT_QCOW2) ? disk_open(&s, &o, e) : NULL;
	struct image_writer *w = d ? image_writer_new(d, NULL, NULL, e) : NULL;
	bool good = w != NULL;

	for (uint64_t i = below(20); good && i; i--) {
		uint64_t at = one_in(4) ? below(m->size) : align_down(below(m->size), 4096);
		uint64_t len = some_length(m->size - at);
		bool zero = zeros && one_in(4);

		model_fill_range(m, at, len, zero ? FILL_ZERO : (enum filling)below(FILLINGS));
		good = zero ? image_write_zeros(w, at, len, one_in(2), e) == 0
			    : image_write(w, at, m->bytes + at, len, e) == 0;
	}
	good = good && image_writer_finish(w, e) == 0;
	image_writer_free(w);
	disk_close(d);
	spec_fini(&s);
	return good;
}

struct backing {
	struct model m;
	const char *name, *format; /* NULL: none */
};

static bool some_backing(struct backing *b, const struct model *like, unsigned nr, struct err *e)
{
	static char raw[2][8], qcow2[2][16];
	bool is_raw;

	*b = (struct backing){ 0 };
	if (one_in(5))
		return true;
	snprintf(raw[nr], sizeof raw[nr], "%u.raw", nr);
	snprintf(qcow2[nr], sizeof qcow2[nr], "%u.qcow2", nr);
	b->m = model_like(like);
	if (!backing_make(&b->m, raw[nr], qcow2[nr], &is_raw, e))
		return false;
	b->name = is_raw ? raw[nr] : qcow2[nr];
	b->format = is_raw ? "raw" : "qcow2";
	return true;
}

static bool image_make(struct model *m, const struct backing *b, struct err *e)
{
	struct new_image n = { .path = "t.qcow2", .format = FORMAT_QCOW2,
			       .options = some_options(b->name != NULL), .has_size = true };

	n.options.size = m->size;
	n.options.data_file_raw = false;
	n.options.backing_name = b->name;
	n.options.backing_format = b->format;
	if (!n.options.extended_l2)
		n.options.preallocation = PREALLOCATION_OFF;
	model_overlay(m, b->name ? &b->m : NULL);
	return new_image_make(&n, e) == 0 && some_writes(m, true, e);
}

static bool is_as_before(const struct model *m, struct err *e)
{
	if (!image_is_clean("t.qcow2", e) || !disk_is("t.qcow2", FORMAT_QCOW2, m, e))
		return false;
	if (!ask_reference)
		return true;
	return model_save(m, "m.raw") && system("qemu-img check -q -f qcow2 t.qcow2") == 0 &&
	       system("qemu-img compare -q -f qcow2 -F raw t.qcow2 m.raw") == 0;
}

static bool has_data_file(struct err *e)
{
	struct disk *d = disk_of("t.qcow2", FORMAT_QCOW2, DISK_NO_BACKING, e);
	bool has = d && image_data_file_name(disk_image(d, 0));

	disk_close(d);
	return has;
}

static bool stand_on(const struct backing *b, const struct model *m, struct err *e)
{
	struct rebase_options o = { .backing = b->name, .format = b->format,
				    .write_flags = FILE_NO_FLUSH, .dry_run = true };
	struct rebase_need said, did;
	struct spec s;

	if (!spec_path(&s, "t.qcow2", FORMAT_QCOW2))
		return false;
	bool good = rebase(&s, &o, &said, e) == 0;

	o.dry_run = false;
	o.compress = !has_data_file(e) && one_in(3);
	good = good && rebase(&s, &o, &did, e) == 0;
	if (good && (said.data != did.data || said.zeros != did.zeros)) {
		printf("# said %llu and %llu, did %llu and %llu\n",
		       (unsigned long long)said.data, (unsigned long long)said.zeros,
		       (unsigned long long)did.data, (unsigned long long)did.zeros);
		good = false;
	}
	spec_fini(&s);
	return good && is_as_before(m, e);
}

static bool round_run(struct err *e)
{
	uint64_t size = align_up(below(one_in(4) ? 3 << 20 : 400000) + 1, SECTOR_SIZE);
	struct model root = model_new(size), m = { malloc(size), size };
	struct backing b[2] = { 0 };
	bool good = some_backing(&b[0], &root, 0, e) && image_make(&m, &b[0], e);

	for (unsigned i = 1; good && i < 5; i++) {
		struct backing *next = &b[i % 2];

		free(next->m.bytes);
		good = some_backing(next, one_in(2) ? &m : &root, i % 2, e) &&
		       stand_on(next, &m, e);
		if (good && one_in(3))
			good = some_writes(&m, true, e) && is_as_before(&m, e);
	}
	free(b[0].m.bytes);
	free(b[1].m.bytes);
	free(root.bytes);
	free(m.bytes);
	return good;
}

static void disks_read_the_same_on_other_backing_files(void)
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
		CHECK(system("rm -f *.raw *.qcow2") == 0);
	}
}

int main(void)
{
	ask_reference = getenv("MODEL_REFERENCE") != NULL;
	CHECK(mkdtemp(place) && chdir(place) == 0);
	RUN(disks_read_the_same_on_other_backing_files);
	rmdir(place); /* it stays while something is in it */
	return DONE();
}
