/* Random images on random backing files get others, and none, and must read the same as before; what
 * a dry run says is what is copied. Variables: model_run.h. */
#include "model_help.h"
#include "model_run.h"
#include "ops/rebase.h"

#define ROUNDS 40

static const char image[] = "t.qcow2";

/* A backing file: a raw file, or an image, packed or not, perhaps with another one behind it. */
static bool backing_make(const struct model *m, const char *raw, const char *qcow2, bool *is_raw,
			 struct err *e)
{
	struct create_options o = some_options(false);

	*is_raw = one_in(3);
	if (!model_save(m, raw))
		return false;
	if (*is_raw)
		return true;
	o.data_file = NULL;
	o.data_file_raw = false;
	return full_image_make(qcow2, &o, m, e);
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

static bool some_writes(struct model *m, struct err *e)
{
	struct session s;
	bool good = session_open(&s, image, e);

	for (uint64_t i = below(20); good && i; i--) {
		uint64_t at, len;

		some_range(m, &at, &len);
		good = one_in(4) ? zero_some(s.w, m, at, len, e) : write_some(s.w, m, at, len, e);
	}
	return session_close(&s, good, e);
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
	struct new_image n = { .path = image, .format = FORMAT_QCOW2,
			       .options = some_options(b->name != NULL), .has_size = true };

	n.options.size = m->size;
	n.options.data_file_raw = false;
	n.options.backing_name = b->name;
	n.options.backing_format = b->format;
	if (!n.options.extended_l2)
		n.options.preallocation = PREALLOCATION_OFF;
	model_overlay(m, b->name ? &b->m : NULL);
	return new_image_make(&n, e) == 0 && some_writes(m, e);
}

static bool is_as_before(const struct model *m, struct err *e)
{
	if (!image_is_clean(image, e) || !disk_is(image, FORMAT_QCOW2, m, e))
		return false;
	if (!ask_reference)
		return true;
	return model_save(m, "m.raw") && shell("qemu-img check -q -f qcow2 t.qcow2") &&
	       shell("qemu-img compare -q -f qcow2 -F raw t.qcow2 m.raw");
}

static bool has_data_file(struct err *e)
{
	struct disk *d = disk_of(image, FORMAT_QCOW2, DISK_NO_BACKING, e);
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

	if (!spec_path(&s, image, FORMAT_QCOW2))
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
			good = some_writes(&m, e) && is_as_before(&m, e);
	}
	free(b[0].m.bytes);
	free(b[1].m.bytes);
	free(root.bytes);
	free(m.bytes);
	return good;
}

static void disks_read_the_same_on_other_backing_files(void)
{
	model_rounds(round_run, ROUNDS, false);
}

int main(void)
{
	if (!model_begin())
		return 1;
	RUN(disks_read_the_same_on_other_backing_files);
	return model_end();
}
