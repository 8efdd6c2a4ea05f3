/* Random chains of random layouts, committed into one of their layers, against plain arrays: the top
 * reads the same afterwards, the base reads as the top does, the check finds nothing.
 *
 * MODEL_ROUNDS: how many chains (a few seconds by default). MODEL_SEED: where to begin; the seed of
 * a round that fails is printed. MODEL_REFERENCE=1: other tools take snapshots of the layers, grow
 * and shrink them, and check them. */
#include "model_help.h"

#include "check.h"
#include "image/packer.h"
#include "image/writer.h"
#include "ops/commit.h"
#include "ops/create.h"

#define ROUNDS 60
#define LAYERS_MOST 4

static char place[] = "/tmp/qcow2-commits-XXXXXX";
static bool ask_reference;

/* A layer as the disk that it is together with what is behind it. */
struct layer {
	char name[16], data_name[16];
	enum image_format format;
	struct create_options o;
	struct model m, snapshot;
};

struct round {
	struct layer layers[LAYERS_MOST]; /* 0 is the top */
	unsigned nr;
};

static bool run(const char *command, const char *file)
{
	char line[256];

	snprintf(line, sizeof line, "%s %s", command, file);
	return system(line) == 0;
}

static uint64_t some_size(void)
{
	return align_up(below(one_in(4) ? 3 << 20 : 300000) + 1, SECTOR_SIZE);
}

/* The size of the bottom, or one around it. */
static uint64_t size_over(uint64_t bottom)
{
	switch (below(8) >> 1) {
	case 0:
		return align_up(below(bottom) + 1, SECTOR_SIZE);
	case 1:
		return bottom + align_up(below(bottom) + 1, SECTOR_SIZE);
	default:
		return bottom;
	}
}

static bool layer_make(struct round *r, unsigned i, struct err *e)
{
	struct layer *l = &r->layers[i], *behind = i + 1 < r->nr ? l + 1 : NULL;
	struct new_image n = { .path = l->name, .format = FORMAT_QCOW2, .has_size = true };
	uint64_t size = behind ? size_over(r->layers[r->nr - 1].m.size) : some_size();

	snprintf(l->data_name, sizeof l->data_name, "d%u.raw", i);
	l->format = behind || one_in(2) ? FORMAT_QCOW2 : FORMAT_RAW;
	snprintf(l->name, sizeof l->name, "l%u.%s", i, format_name(l->format));
	l->m = (struct model){ calloc(1, size + 1), size };
	if (l->format == FORMAT_RAW) {
		free(l->m.bytes);
		l->m = model_new(size);
		return model_save(&l->m, l->name);
	}
	l->o = some_options(behind);
	if (l->o.data_file)
		l->o.data_file = l->data_name;
	n.options = l->o;
	n.options.size = size;
	if (behind) {
		n.options.backing_name = behind->name;
		n.options.backing_format = format_name(behind->format);
		memcpy(l->m.bytes, behind->m.bytes, MIN(size, behind->m.size));
	}
	return new_image_make(&n, e) == 0;
}

static bool pack_some(struct image_writer *w, struct layer *l, uint64_t at, struct err *e)
{
	size_t size = (size_t)1 << l->o.cluster_bits, len;
	struct packer *p = packer_new(size, l->o.compression, 1, e);
	uint8_t *in = calloc(1, size), *out = malloc(size);

	at = align_down(at, size);
	len = MIN(size, l->m.size - at);
	model_fill_range(&l->m, at, len, FILL_TEXT);
	memcpy(in, l->m.bytes + at, len);
	uint32_t n = p ? packer_pack(p, in, out) : 0;
	bool good = n && !l->o.data_file ? image_write_packed(w, at, out, n, e) == 0
					 : image_write(w, at, in, len, e) == 0;

	packer_free(p);
	free(in);
	free(out);
	return good;
}

static bool change_some(struct image_writer *w, struct layer *l, struct err *e)
{
	uint64_t at = one_in(4) ? below(l->m.size) : align_down(below(l->m.size), 4096);
	uint64_t len = some_length(l->m.size - at);

	switch (below(5)) {
	case 0:
		memset(l->m.bytes + at, 0, len);
		return image_write_zeros(w, at, len, one_in(2), e) == 0;
	case 1:
		return pack_some(w, l, at, e);
	default:
		model_fill_range(&l->m, at, len, (enum filling)below(FILLINGS));
		return image_write(w, at, l->m.bytes + at, len, e) == 0;
	}
}

static bool layer_fill(struct layer *l, unsigned changes, struct err *e)
{
	struct disk *d = disk_of(l->name, FORMAT_QCOW2, DISK_WRITE, e);
	struct image_writer *w = d ? image_writer_new(d, NULL, NULL, e) : NULL;
	bool good = w != NULL;

	for (unsigned i = 0; good && i < changes; i++)
		good = change_some(w, l, e);
	good = good && image_writer_finish(w, e) == 0;
	image_writer_free(w);
	disk_close(d);
	return good;
}

/* The other tools leave their traces: a snapshot, and what growing and shrinking leave behind. */
static bool others(struct layer *l)
{
	char grow[128], write[128], shrink[128];

	if (!ask_reference || l->format == FORMAT_RAW)
		return true;
	if (!l->o.data_file && l->o.refcount_order > 2 && one_in(2)) {
		l->snapshot = (struct model){ malloc(l->m.size), l->m.size };
		memcpy(l->snapshot.bytes, l->m.bytes, l->m.size);
		if (!run("qemu-img snapshot -c s", l->name))
			return false;
	}
	if (l->o.version < 3 || l->o.preallocation || one_in(2))
		return true;
	snprintf(grow, sizeof grow, "qemu-img resize -q -f qcow2 %s", l->name);
	snprintf(shrink, sizeof shrink, "qemu-img resize -q -f qcow2 --shrink %s", l->name);
	snprintf(write, sizeof write, "qemu-io -f qcow2 -c 'write -q -P 7 %llu 70000'",
		 (unsigned long long)l->m.size + 1000);
	/* Some layouts they can't grow. */
	return !run(grow, "+1M 2>/dev/null") || (run(write, l->name) && run(shrink, "-1M"));
}

static bool chain_make(struct round *r, struct err *e)
{
	r->nr = 2 + (unsigned)below(LAYERS_MOST - 1);
	for (unsigned i = r->nr; i-- > 0;) {
		struct layer *l = &r->layers[i];

		if (!layer_make(r, i, e))
			return false;
		if (l->format == FORMAT_RAW)
			continue;
		if (!layer_fill(l, (unsigned)below(20), e) || !others(l) ||
		    !layer_fill(l, (unsigned)below(20), e))
			return false;
	}
	return true;
}

/* What the base reads as is what the top does, and behind its end what it did before. */
static void base_expect(struct layer *base, const struct layer *top)
{
	uint64_t size = MAX(base->m.size, top->m.size);
	uint8_t *bytes = calloc(1, size + 1);

	memcpy(bytes, base->m.bytes, base->m.size);
	memcpy(bytes, top->m.bytes, top->m.size);
	free(base->m.bytes);
	base->m = (struct model){ bytes, size };
}

static bool chain_commit(struct round *r, unsigned depth, bool drop, struct err *e)
{
	struct layer *top = &r->layers[0], *base = &r->layers[depth];
	struct commit_options o = {
		.base = depth > 1 || one_in(3) ? base->name : NULL,
		.drop = drop,
		.workers = 1 + (unsigned)below(3),
		.write_flags = FILE_NO_FLUSH,
	};
	struct commit_measure m;
	struct spec s;
	bool good = spec_path(&s, top->name, FORMAT_QCOW2);

	o.file = &s;
	/* A version 2 image with a snapshot has to keep its size. */
	bool refused = base->o.version == 2 && base->snapshot.bytes && base->m.size < top->m.size;

	good = good && commit_measure(&o, &m, e) == 0 && (commit(&o, e) == 0) == !refused;
	if (refused)
		*e = ERR_INIT;
	else
		base_expect(base, top);
	/* Emptied, it has nothing to be committed. */
	if (good && !refused && !drop && !o.base)
		good = commit_measure(&o, &m, e) == 0 && !m.copied && !m.zeroed;
	spec_fini(&s);
	return good;
}

static bool snapshot_is(const struct layer *l, struct err *e)
{
	struct disk_options o = { .snapshot = "s" };
	struct spec s;
	struct disk *d = spec_path(&s, l->name, FORMAT_QCOW2) ? disk_open(&s, &o, e) : NULL;
	struct disk_reader *reader = d ? disk_reader_new(d, e) : NULL;
	uint8_t *buf = malloc(l->snapshot.size);
	bool same = reader && disk_read(reader, 0, buf, l->snapshot.size, e) == 0 &&
		    !memcmp(buf, l->snapshot.bytes, l->snapshot.size);

	free(buf);
	disk_reader_free(reader);
	disk_close(d);
	spec_fini(&s);
	return same;
}

static bool layer_is_well(const struct layer *l, bool reads_as_known, struct err *e)
{
	bool good = !reads_as_known || disk_is(l->name, l->format, &l->m, e);

	if (l->format == FORMAT_QCOW2)
		good = good && image_is_clean(l->name, e) &&
		       (!ask_reference || run("qemu-img check -q -f qcow2", l->name));
	if (!good)
		printf("# %s: %s\n", l->name, e->text);
	return good;
}

static bool round_run(struct err *e)
{
	struct round r = { 0 };
	bool good = chain_make(&r, e);
	unsigned depth = good ? 1 + (unsigned)below(r.nr - 1) : 0;

	good = good && chain_commit(&r, depth, one_in(2), e);
	for (unsigned i = 0; good && i < r.nr; i++)
		good = layer_is_well(&r.layers[i], !i || i >= depth, e);
	if (good && r.layers[r.nr - 1].snapshot.bytes)
		good = snapshot_is(&r.layers[r.nr - 1], e);
	for (unsigned i = 0; i < r.nr; i++) {
		free(r.layers[i].m.bytes);
		free(r.layers[i].snapshot.bytes);
	}
	return good;
}

static void chains_are_what_plain_arrays_would_hold(void)
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
		CHECK(run("rm -f", "*.raw *.qcow2"));
	}
}

int main(void)
{
	ask_reference = getenv("MODEL_REFERENCE") != NULL;
	CHECK(mkdtemp(place) && chdir(place) == 0);
	RUN(chains_are_what_plain_arrays_would_hold);
	rmdir(place); /* it stays while something is in it */
	return DONE();
}
