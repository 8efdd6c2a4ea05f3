/* Random chains of random layouts, committed into one of their layers, against plain arrays: the top
 * reads the same afterwards, the base reads as the top does, the check finds nothing. Other tools
 * take snapshots of the layers, grow and shrink them, and check them. Variables: model_run.h. */
#include "model_help.h"
#include "model_run.h"
#include "ops/commit.h"

#define ROUNDS 60
#define LAYERS_MOST 4

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
	return shell(line);
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
	uint64_t size = behind ? size_over(r->layers[r->nr - 1].m.size) : some_disk_size();

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

static bool change_some(struct image_writer *w, struct layer *l, struct err *e)
{
	uint64_t at, len;

	some_range(&l->m, &at, &len);
	switch (below(5)) {
	case 0:
		return zero_some(w, &l->m, at, len, e);
	case 1:
		return pack_some(w, &l->o, &l->m, &at, &len, e);
	default:
		return write_some(w, &l->m, at, len, e);
	}
}

static bool layer_fill(struct layer *l, unsigned changes, struct err *e)
{
	struct session s;
	bool good = session_open(&s, l->name, e);

	for (unsigned i = 0; good && i < changes; i++)
		good = change_some(s.w, l, e);
	return session_close(&s, good, e);
}

/* The other tools leave their traces: a snapshot, and what growing and shrinking leave behind. */
static bool others(struct layer *l)
{
	char grow[128], write[128], shrink[128];

	if (!ask_reference || l->format == FORMAT_RAW)
		return true;
	if (!l->o.data_file && l->o.refcount_order > 2 && one_in(2)) {
		l->snapshot = model_copy(&l->m);
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
		good = snapshot_is(r.layers[r.nr - 1].name, "s", &r.layers[r.nr - 1].snapshot, e);
	for (unsigned i = 0; i < r.nr; i++) {
		free(r.layers[i].m.bytes);
		free(r.layers[i].snapshot.bytes);
	}
	return good;
}

static void chains_are_what_plain_arrays_would_hold(void)
{
	model_rounds(round_run, ROUNDS, false);
}

int main(void)
{
	if (!model_begin())
		return 1;
	RUN(chains_are_what_plain_arrays_would_hold);
	return model_end();
}
