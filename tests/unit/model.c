/* Random disks through random layouts, against a plain array: raw to image, image to raw, several
 * sources into one, windows, overlays copied over their backing file. What comes out must hold
 * the same bytes, and the check must find nothing in any image on the way.
 * Variables: model_run.h. */
#include "image/builder.h"
#include "model_help.h"
#include "model_run.h"

#define ROUNDS 20

static struct convert_options some_copy(struct disk **sources, unsigned nr, const char *target,
					enum image_format format)
{
	static const uint64_t sparse[] = { 0, 512, 4096, 4096, 65536, 16 << 20 };
	struct convert_options o = {
		.sources = sources,
		.source_nr = nr,
		.count = UINT64_MAX,
		.target = target,
		.format = format,
		.create = CREATE_OPTIONS_DEFAULT,
		.target_flags = one_in(8) ? 0 : FILE_NO_FLUSH,
		.sparse = sparse[below(sizeof sparse / sizeof *sparse)],
		.workers = (unsigned)below(4) + 1,
	};

	return o;
}

static void compression_choose(struct convert_options *o)
{
	o->compress = !o->create.data_file && !o->create.preallocation && one_in(2);
	o->level = (int)below(4);
}

/* What the reference implementation says to an image and to its bytes. */
static bool reference_agrees(const char *image, const char *raw)
{
	char command[256];

	if (!ask_reference || !one_in(6))
		return true;
	snprintf(command, sizeof command,
		 "qemu-img check -q -f qcow2 %s && qemu-img compare -q -f qcow2 -F raw %s %s", image,
		 image, raw);
	return shell(command);
}

/* raw or qcow2 source -> image; whatever the options, the same bytes. */
static bool into_image(const char *source, enum image_format format, const struct model *m,
		       const char *target, struct err *e)
{
	struct disk *d = disk_of(source, format, one_in(5) ? 0 : DISK_HOLES, e);
	struct convert_options o = some_copy(&d, 1, target, FORMAT_QCOW2);

	o.create = some_options(false);
	/* Two images of one test may not share a data file. */
	if (o.create.data_file)
		o.create.data_file = strcmp(target, "one.qcow2") ? "two.raw" : "one.raw";
	compression_choose(&o);
	bool good = d && convert(&o, e) == 0;

	disk_close(d);
	return good && image_is_clean(target, e) && disk_is(target, FORMAT_QCOW2, m, e);
}

/* Image -> raw, at times into a file that is there and full of something else. */
static bool into_raw(const char *source, const struct model *m, struct err *e)
{
	struct disk *d = disk_of(source, FORMAT_QCOW2, one_in(5) ? 0 : DISK_HOLES, e);
	struct convert_options o = some_copy(&d, 1, "out.raw", FORMAT_RAW);

	o.no_create = one_in(2);
	if (o.no_create) {
		struct model old = model_new(align_up(m->size, SECTOR_SIZE));

		model_save(&old, "out.raw");
		free(old.bytes);
	}
	bool good = d && convert(&o, e) == 0;

	disk_close(d);
	return good && disk_is("out.raw", FORMAT_RAW, m, e);
}

static bool there_and_back(struct err *e)
{
	struct model m = model_new(below(one_in(8) ? 5 << 20 : 1 << 20));

	CHECK(model_save(&m, "in.raw"));
	CHECK(into_image("in.raw", FORMAT_RAW, &m, "one.qcow2", e));
	CHECK(into_image("one.qcow2", FORMAT_QCOW2, &m, "two.qcow2", e));
	CHECK(into_raw("two.qcow2", &m, e));
	CHECK(reference_agrees("two.qcow2", "out.raw"));
	free(m.bytes);
	return !check_failed;
}

/* A window of several disks, one behind the other. */
static bool a_window_of_several(struct err *e)
{
	struct disk *d[3] = { NULL };
	static const char *const names[] = { "a.raw", "b.raw", "c.raw" };
	struct model all = { calloc(4, 1 << 20), 0 };
	unsigned nr = (unsigned)below(3) + 1;

	for (unsigned i = 0; i < nr; i++) {
		struct model m = model_new(below(300000));

		memcpy(all.bytes + all.size, m.bytes, m.size);
		all.size += align_up(m.size, SECTOR_SIZE);
		CHECK(model_save(&m, names[i]));
		free(m.bytes);
		d[i] = disk_of(names[i], FORMAT_RAW, one_in(2) ? DISK_HOLES : 0, e);
	}
	struct convert_options o = some_copy(d, nr, "window.out", one_in(2) ? FORMAT_RAW : FORMAT_QCOW2);

	if (o.format == FORMAT_QCOW2)
		o.create = some_options(false), compression_choose(&o);
	if (one_in(2)) {
		o.skip = below(all.size + 1000);
		o.count = below(all.size + 1000);
	}
	CHECK(d[nr - 1] && convert(&o, e) == 0);
	for (unsigned i = 0; i < nr; i++)
		disk_close(d[i]);
	uint64_t skip = MIN(o.skip, all.size), count = MIN(o.count, all.size - skip);
	struct model window = { calloc(1, align_up(count, SECTOR_SIZE) + 1), count };

	memcpy(window.bytes, all.bytes + skip, count);
	CHECK(disk_is("window.out", o.format, &window, e));
	CHECK(o.format == FORMAT_RAW || image_is_clean("window.out", e));
	free(window.bytes);
	free(all.bytes);
	return !check_failed;
}

static bool assign_and_write(struct builder *b, const struct model *m, uint64_t at, uint64_t len,
			     struct err *e)
{
	while (len) {
		uint64_t host, run;

		if (builder_assign(b, at, len, &host, &run, e) < 0 ||
		    builder_write(b, at, host, m->bytes + at, run, e) < 0)
			return false;
		at += run;
		len -= run;
	}
	return true;
}

static bool pack(struct builder *b, struct packer *p, struct model *m, uint64_t at, uint64_t len,
		 struct err *e)
{
	uint64_t size = builder_cluster_size(b);
	uint8_t *in = calloc(2, size);

	memcpy(in, m->bytes + at, len);
	uint32_t n = packer_pack(p, in, in + size);
	bool good = n ? builder_put_packed(b, at, in + size, n, e) == 0
		      : assign_and_write(b, m, at, len, e);

	free(in);
	return good;
}

/* Enters what the layer has over its backing file, unit by unit, into image and model alike. */
static bool layer_fill(struct builder *b, struct packer *p, struct model *m, struct err *e)
{
	uint64_t size = builder_cluster_size(b), unit = builder_unit(b);
	bool good = true;

	for (uint64_t at = 0; good && at < m->size;) {
		uint64_t kind = below(5), units = kind == 1 ? 1 : below(12) + 1;
		uint64_t len = MIN(unit * units, m->size - at);

		if (kind == 4 && p && at % size == 0) {
			len = MIN(size, m->size - at);
			model_fill_range(m, at, len, one_in(3) ? FILL_SPECK : FILL_TEXT);
			good = pack(b, p, m, at, len, e);
		} else if (kind == 1 || kind == 4) {
			len = MIN(unit, len);
			model_fill_range(m, at, len, (enum filling)below(FILLINGS));
			good = assign_and_write(b, m, at, len, e);
		} else if (kind) {
			model_fill_range(m, at, len, FILL_ZERO);
			good = builder_put_zero(b, at, len, e) == 0;
		}
		at += len;
	}
	return good;
}

/* An overlay over base.raw. *m becomes what it shows. */
static bool layer_make(const char *path, struct model *m, struct err *e)
{
	struct create_options o = some_options(true);
	struct file *f = file_open(path, FILE_WRITE | FILE_CREATE, e);

	o.preallocation = PREALLOCATION_OFF;
	o.data_file = o.data_file ? "overlay.raw" : NULL;
	o.size = m->size;
	o.backing_name = "base.raw";
	o.backing_format = "raw";
	struct builder *b = f && file_truncate(f, 0, e) == 0 ? builder_new(f, &o, e) : NULL;
	struct packer *p = b && !o.data_file ? packer_new((size_t)1 << o.cluster_bits, o.compression, 0, e)
						   : NULL;
	bool good = b && layer_fill(b, p, m, e) && builder_finish(b, BUILD_LAZY, e) == 0;

	packer_free(p);
	builder_free(b);
	file_drop(f);
	return good;
}

static bool over_a_backing_file(struct err *e)
{
	uint64_t size = align_up(below(one_in(8) ? 4 << 20 : 600000), SECTOR_SIZE);
	struct model base = model_new(one_in(2) ? size : below(size * 5 / 4 + 1));
	struct model m = { calloc(1, size + 1), size };

	memcpy(m.bytes, base.bytes, MIN(size, base.size));
	CHECK(model_save(&base, "base.raw"));
	free(base.bytes);
	CHECK(layer_make("overlay.qcow2", &m, e));
	CHECK(image_is_clean("overlay.qcow2", e));
	CHECK(disk_is("overlay.qcow2", FORMAT_QCOW2, &m, e));

	struct disk *d = disk_of("overlay.qcow2", FORMAT_QCOW2, one_in(2) ? DISK_HOLES : 0, e);
	struct convert_options o = some_copy(&d, 1, "copy.qcow2", FORMAT_QCOW2);

	o.create = some_options(true);
	o.create.backing_name = "base.raw";
	o.create.backing_format = "raw";
	compression_choose(&o);
	CHECK(d && convert(&o, e) == 0);
	disk_close(d);
	CHECK(image_is_clean("copy.qcow2", e));
	CHECK(disk_is("copy.qcow2", FORMAT_QCOW2, &m, e));
	CHECK(into_raw("copy.qcow2", &m, e));
	CHECK(reference_agrees("copy.qcow2", "out.raw"));
	CHECK(into_image("copy.qcow2", FORMAT_QCOW2, &m, "one.qcow2", e));
	free(m.bytes);
	return !check_failed;
}

static void bytes_survive_any_layout(void)
{
	model_rounds(there_and_back, ROUNDS, false);
}

static void windows_of_several_disks_are_exact(void)
{
	model_rounds(a_window_of_several, ROUNDS, false);
}

static void overlays_copied_over_their_base_show_the_same(void)
{
	model_rounds(over_a_backing_file, ROUNDS, false);
}

int main(void)
{
	if (!model_begin())
		return 1;
	RUN(bytes_survive_any_layout);
	RUN(windows_of_several_disks_are_exact);
	RUN(overlays_copied_over_their_base_show_the_same);
	return model_end();
}
