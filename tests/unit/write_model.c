/* Random writes, zeros, discards, sizes, snapshots and bitmaps in all layouts, against plain arrays:
 * what the disk reads must be the same at any time, and after each batch the check must find nothing,
 * every snapshot hold what it held, and every bitmap tell of what was written, and of nothing else.
 * Variables: model_run.h. */
#include "image/resize.h"
#include "image/snapshots.h"
#include "model_bitmaps.h"
#include "model_run.h"

#define ROUNDS 42
#define SNAPSHOTS_MOST 5

static const char image[] = "t.qcow2";

struct round {
	struct create_options o;
	struct model m;
	struct model snapshots[SNAPSHOTS_MOST]; /* in the order of the image's table */
	unsigned names[SNAPSHOTS_MOST];
	unsigned snapshot_nr, taken;
	struct model_bitmaps bitmaps;
};

/* --- writes --- */

static bool discard_some(struct image_writer *w, struct round *r, uint64_t at, uint64_t len,
			 struct err *e)
{
	uint64_t size = UINT64_C(1) << r->o.cluster_bits, from = align_up(at, size);
	uint64_t to = at + len == r->m.size ? r->m.size : align_down(at + len, size);

	model_bitmaps_allow(&r->bitmaps, at, len);
	if (from < to && (r->o.version > 2 || !r->o.backing_name)) {
		memset(r->m.bytes + from, 0, to - from);
		model_bitmaps_mark(&r->bitmaps, from, to - from);
	}
	return image_discard(w, at, len, e) == 0;
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

static bool some_change(struct session *s, struct round *r, struct err *e)
{
	uint64_t at, len;
	bool good;

	some_range(&r->m, &at, &len);
	switch (below(10)) {
	case 0:
		good = zero_some(s->w, &r->m, at, len, e);
		break;
	case 1:
		return discard_some(s->w, r, at, len, e);
	case 2:
		return read_some(s->d, &r->m, e);
	case 3:
		good = pack_some(s->w, &r->o, &r->m, &at, &len, e);
		break;
	case 4:
		return one_in(8) ? image_writer_finish(s->w, e) == 0
				 : image_writer_relax(s->w, e) == 0;
	default:
		good = write_some(s->w, &r->m, at, len, e);
	}
	model_bitmaps_mark(&r->bitmaps, at, len);
	return good;
}

static bool batch(struct round *r, unsigned changes, struct err *e)
{
	struct session s;
	bool good = session_open(&s, image, e);

	for (unsigned i = 0; good && i < changes; i++)
		good = some_change(&s, r, e);
	return session_close(&s, good, e);
}

/* --- sizes --- */

static bool resize_some(struct round *r, struct err *e)
{
	struct resize_options o = { .size = one_in(3) ? MAX(r->m.size / 2 & ~511ull, 512)
						      : some_disk_size() };
	struct session s;
	bool refused = r->o.version < 3 && r->snapshot_nr && o.size != r->m.size;
	bool good = session_open(&s, image, e);

	image_writer_free(s.w);
	s.w = NULL;
	if (one_in(4) && o.size > r->m.size && !r->o.encryption.method)
		o.preallocation = (enum preallocation)below(4);
	good = good && (image_resize(s.d, &o, NULL, NULL, e) == 0) == !refused;
	session_end(&s);
	if (refused && good) {
		*e = (struct err)ERR_INIT;
	} else if (good) {
		model_bitmaps_resize(&r->bitmaps, r->m.size, o.size);
		model_resize(&r->m, o.size);
	}
	return good;
}

/* --- snapshots --- */

static void snapshot_keep(struct round *r)
{
	r->snapshots[r->snapshot_nr] = model_copy(&r->m);
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
	if (model_has_bitmaps(&r->bitmaps)) {
		struct err refused = ERR_INIT;

		return image_snapshot_apply(w, i, NULL, &refused) < 0;
	}
	if (image_snapshot_apply(w, i, NULL, e) == 0) {
		free(r->m.bytes);
		r->m = model_copy(&r->snapshots[i]);
		return true;
	}
	return may_refuse(r, e);
}

/* One change of snapshots: a writer of its own. */
static bool snapshots_change(struct round *r, struct err *e)
{
	bool take = !r->snapshot_nr || (r->snapshot_nr < SNAPSHOTS_MOST && one_in(2));
	struct session s;
	bool good = session_open(&s, image, e) && (take	       ? snapshot_take(r, s.w, e)
						   : one_in(2) ? snapshot_apply(r, s.w, e)
							       : snapshots_delete(r, s.w, e));

	session_end(&s);
	return good;
}

/* --- the other tools take their turn --- */

static bool others_snapshot(struct round *r)
{
	char command[512];

	if (r->snapshot_nr == SNAPSHOTS_MOST || r->o.data_file || r->o.refcount_order <= 2)
		return true;
	snprintf(command, sizeof command, "qemu-img snapshot -c s%u %s", r->taken,
		 reference_name(&r->o, image));
	snapshot_keep(r);
	return shell(command);
}

/* Some writes in one run. */
static bool others_write(struct round *r)
{
	char command[2048];
	int used = snprintf(command, sizeof command, "qemu-io %s", reference_name(&r->o, image));

	for (uint64_t i = below(8) + 1; i; i--) {
		uint64_t at = align_down(below(r->m.size), 512);
		uint64_t len = MIN(align_up(some_length(r->m.size - at), 512), r->m.size - at);
		unsigned byte = one_in(3) ? 0 : (unsigned)below(255) + 1;
		char how[16];

		snprintf(how, sizeof how, "-P %u", byte);
		memset(r->m.bytes + at, (int)byte, len);
		model_bitmaps_mark(&r->bitmaps, at, len);
		used += snprintf(command + used, sizeof command - (size_t)used,
				 " -c 'write -q %s %llu %llu'",
				 byte ? how : one_in(2) ? "-z" : "-z -u", (unsigned long long)at,
				 (unsigned long long)len);
	}
	return shell(command);
}

/* One change of a bitmap. */
static bool others_bitmap(struct round *r)
{
	static const char *const words[] = { "--add", "--remove", "--clear", "--enable",
					     "--disable" };
	struct bitmap_step one = { .action = BITMAP_ADD };
	unsigned which = (unsigned)below(MODEL_BITMAPS), bits = 9 + (unsigned)below(9);
	char command[512], granularity[32] = "";

	if (r->o.version < 3)
		return true;
	if (r->bitmaps.items[which].there)
		one.action = (enum bitmap_action)(BITMAP_REMOVE + below(4));
	else
		snprintf(granularity, sizeof granularity, "-g %u", 1u << bits);
	snprintf(command, sizeof command, "qemu-img bitmap %s %s %s %c",
		 words[one.action - BITMAP_ADD], granularity, reference_name(&r->o, image),
		 'a' + which);
	return model_step(&r->bitmaps, &r->bitmaps.items[which], &one, bits, r->m.size) &&
	       shell(command);
}

static bool others(struct round *r)
{
	if (!ask_reference)
		return true;
	return (!one_in(2) || others_snapshot(r)) && (!one_in(2) || others_bitmap(r)) &&
	       others_write(r) && reference_is_content(&r->o, image);
}

/* --- a round --- */

static bool all_is_well(struct round *r, struct err *e)
{
	char name[16];

	if (!image_is_clean(image, e) || !disk_is(image, FORMAT_QCOW2, &r->m, e) ||
	    !bitmaps_are(image, &r->bitmaps, r->m.size, e))
		return false;
	for (unsigned i = 0; i < r->snapshot_nr; i++) {
		snprintf(name, sizeof name, "s%u", r->names[i]);
		if (!snapshot_is(image, name, &r->snapshots[i], e))
			return false;
	}
	return true;
}

static bool bitmaps_some(struct round *r, struct err *e)
{
	return bitmaps_change(image, &r->bitmaps, r->m.size, r->o.version < 3, e);
}

static bool step(struct round *r, struct err *e)
{
	switch (below(8)) {
	case 0:
		return resize_some(r, e);
	case 1:
	case 2:
		return snapshots_change(r, e);
	case 3:
	case 4:
		return bitmaps_some(r, e);
	default:
		return batch(r, (unsigned)below(60) + 1, e);
	}
}

static bool round_run(struct err *e)
{
	struct round *r = calloc(1, sizeof *r);
	bool good = some_image(image, &r->o, &r->m, e) && (one_in(3) || bitmaps_some(r, e)) &&
		    batch(r, (unsigned)below(60) + 1, e);

	for (unsigned i = 0; good && i < 12; i++) {
		good = step(r, e) && all_is_well(r, e);
		if (good && i % 4 == 3)
			good = others(r) && all_is_well(r, e);
		if (!good)
			printf("# step %u: %llu bytes, clusters of 2^%u\n", i,
			       (unsigned long long)r->m.size, r->o.cluster_bits);
	}
	for (unsigned i = 0; i < r->snapshot_nr; i++)
		free(r->snapshots[i].bytes);
	free(r->m.bytes);
	free(r);
	return good;
}

static void writes_are_what_a_plain_array_would_hold(void)
{
	model_rounds(round_run, ROUNDS, true);
}

int main(void)
{
	if (!model_begin())
		return 1;
	RUN(writes_are_what_a_plain_array_would_hold);
	return model_end();
}
