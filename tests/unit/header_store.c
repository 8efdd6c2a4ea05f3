/* Headers are replaced by others on a device that may lose and tear whatever is not flushed: at any
 * time the header is the old one or the new one, with all that goes with it. */
#include "meta/header_store.h"

#include <stdlib.h>

#include "base/align.h"
#include "check.h"
#include "format/header.h"
#include "io/file_internal.h"

#define ROUNDS	     1500
#define PENDING_MAX  128
#define ALL_WAYS_MAX 9 /* sectors that are lost and kept in every way; beyond, in some ways */

static uint64_t seed = 1;

static uint64_t below(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 33) % n;
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

/* --- a device of one cluster, that knows what it has promised --- */

static struct device {
	struct file file;
	size_t size;
	uint8_t *durable;
	struct {
		size_t at;
		uint8_t bytes[SECTOR_SIZE];
	} pending[PENDING_MAX]; /* in the order of the writes */
	size_t pending_nr;
	unsigned writes, first_sector_writes;
	bool (*is_good)(const uint8_t *bytes, size_t size);
	unsigned states, bad;
} device;

/* One state that a crash could leave. */
static void state_judge(uint8_t *bytes, const bool *kept)
{
	memcpy(bytes, device.durable, device.size);
	for (size_t i = 0; i < device.pending_nr; i++)
		if (kept[i])
			memcpy(bytes + device.pending[i].at, device.pending[i].bytes,
			       SECTOR_SIZE);
	device.states++;
	device.bad += !device.is_good(bytes, device.size);
}

static void crash_here(void)
{
	bool all = device.pending_nr <= ALL_WAYS_MAX, kept[PENDING_MAX];
	size_t ways = all ? (size_t)1 << device.pending_nr : 64;
	uint8_t *bytes = malloc(device.size);

	for (size_t way = 0; way < ways; way++) {
		for (size_t i = 0; i < device.pending_nr; i++)
			kept[i] = all ? way >> i & 1 : one_in(2);
		state_judge(bytes, kept);
	}
	free(bytes);
}

static int device_write(struct file *f, uint64_t off, const void *buf, size_t n, struct err *e)
{
	CHECK(off % SECTOR_SIZE == 0 && n % SECTOR_SIZE == 0 && off + n <= device.size);
	device.writes++;
	device.first_sector_writes += off == 0;
	for (size_t at = 0; at < n; at += SECTOR_SIZE) {
		if (device.pending_nr == PENDING_MAX)
			abort();
		device.pending[device.pending_nr].at = (size_t)off + at;
		memcpy(device.pending[device.pending_nr++].bytes, (const uint8_t *)buf + at,
		       SECTOR_SIZE);
	}
	return 0;
}

static int device_flush(struct file *f, struct err *e)
{
	crash_here();
	for (size_t i = 0; i < device.pending_nr; i++)
		memcpy(device.durable + device.pending[i].at, device.pending[i].bytes,
		       SECTOR_SIZE);
	device.pending_nr = 0;
	return 0;
}

static const struct file_ops device_ops = { .write = device_write, .flush = device_flush };

/* --- headers --- */

/* What it says, apart from the places of its parts. */
struct sayings {
	struct header h;
	uint8_t *cluster; /* h leads into it */
};

static bool same_bytes(struct bytes a, struct bytes b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

static struct bytes unknown_list(const struct header *h, uint8_t *room, size_t size)
{
	struct rd r = rd_over(h->extensions.p, h->extensions.n);
	struct wr w = wr_over(room, size);
	struct err e = ERR_INIT;
	struct header_ext x;

	while (header_ext_next(&r, &x, &e) > 0)
		if (x.type < 100)
			header_ext_encode(&w, &x);
	return (struct bytes){ room, w.pos };
}

static bool says_the_same(const struct header *a, const struct header *b)
{
	static uint8_t list_a[1 << 14], list_b[1 << 14];

	return same_bytes(a->backing_name, b->backing_name) &&
	       same_bytes(a->backing_format, b->backing_format) &&
	       same_bytes(a->data_file_name, b->data_file_name) &&
	       a->has_data_file_name == b->has_data_file_name &&
	       same_bytes(a->unknown_fields, b->unknown_fields) &&
	       same_bytes(unknown_list(a, list_a, sizeof list_a),
			  unknown_list(b, list_b, sizeof list_b)) &&
	       a->version == b->version && a->cluster_bits == b->cluster_bits &&
	       a->size == b->size && a->l1_size == b->l1_size &&
	       a->l1_table_off == b->l1_table_off &&
	       a->refcount_table_off == b->refcount_table_off &&
	       a->refcount_table_clusters == b->refcount_table_clusters &&
	       a->incompatible_features == b->incompatible_features &&
	       a->autoclear_features == b->autoclear_features &&
	       a->refcount_order == b->refcount_order &&
	       a->has_bitmaps_ext == b->has_bitmaps_ext &&
	       a->bitmaps.directory_off == b->bitmaps.directory_off;
}

static struct sayings old, new;
static uint8_t left[1 << 16]; /* what the last store left of the cluster */

static bool is_old_or_new(const uint8_t *bytes, size_t size)
{
	struct err e = ERR_INIT;
	struct header h;

	return header_decode(bytes, size, &h, &e) == 0 &&
	       (says_the_same(&h, &old.h) || says_the_same(&h, &new.h));
}

static char letters[1024];

static struct bytes some_text(size_t n)
{
	struct bytes b = { (const uint8_t *)letters + below(sizeof letters - n), n };

	return b;
}

static struct bytes some_name(const struct header *h)
{
	static const size_t lengths[] = { 0, 0, 5, 5, 6, 30, 100, 300, 376, 500, 900, 1000 };
	size_t n = lengths[below(sizeof lengths / sizeof *lengths)];

	return some_text(MIN(n, (size_t)1 << (h->cluster_bits - 1)));
}

static struct header some_header(void)
{
	static const uint8_t bits[] = { 9, 9, 10, 11, 12, 13, 14, 16 };
	uint32_t cluster_bits = bits[below(sizeof bits)];
	uint64_t cluster = UINT64_C(1) << cluster_bits;
	struct header h = {
		.version = one_in(4) ? 2 : 3,
		.cluster_bits = cluster_bits,
		.size = 1 << 20,
		.l1_size = 1 << 11,
		.l1_table_off = 3 * cluster,
		.refcount_table_off = cluster,
		.refcount_table_clusters = 1,
		.refcount_order = 4,
	};

	if (h.version == 3 && one_in(3)) {
		h.incompatible_features |= INCOMPATIBLE_DATA_FILE;
		h.data_file_name = some_text(one_in(4) ? 300 : 20);
		h.has_data_file_name = true;
	}
	if (h.version == 3 && one_in(3)) {
		h.has_bitmaps_ext = true;
		h.autoclear_features |= AUTOCLEAR_BITMAPS;
		h.bitmaps = (struct bitmaps_ext){ 1, 100, 5 * cluster };
	}
	if (h.version == 3 && one_in(4))
		h.unknown_fields = some_text(8 * below(8));
	return h;
}

static void unknown_add(struct header *h, uint8_t *room, size_t size)
{
	struct wr w = wr_over(room, size);

	for (unsigned i = 0; i < 4 && one_in(2); i++) {
		struct header_ext x = { 1 + i, some_text(below(one_in(5) ? 400 : 20)) };

		header_ext_encode(&w, &x);
	}
	h->extensions = (struct bytes){ room, w.pos };
}

static void name_some(struct header *h)
{
	h->backing_name = some_name(h);
	h->backing_format = h->backing_name.n && !one_in(4) ? some_text(3 + below(3))
							    : (struct bytes){ NULL, 0 };
}

/* Lays h out in some legal way. */
static bool lay(struct sayings *s, const struct header *h, bool as_usual)
{
	struct header_form form = { 0 };
	struct err e = ERR_INIT;
	size_t size = (size_t)1 << h->cluster_bits;

	if (!as_usual && one_in(2)) {
		form.no_feature_table = one_in(2);
		form.name_off = one_in(2) ? below(size) : 0;
	}
	s->cluster = malloc(size);
	return header_encode_as(s->cluster, h, &form, &e) == 0 &&
	       header_decode(s->cluster, size, &s->h, &e) == 0;
}

/* Bytes of the list that nobody can do without. */
static size_t list_needs(const struct header *h)
{
	struct header_form form = { .no_feature_table = true };
	struct header bare = *h, decoded;
	struct err e = ERR_INIT;
	size_t size = (size_t)1 << h->cluster_bits;
	uint8_t *bytes = malloc(size);

	bare.backing_name.n = 0;
	CHECK(header_encode_as(bytes, &bare, &form, &e) == 0 &&
	      header_decode(bytes, size, &decoded, &e) == 0);
	free(bytes);
	return decoded.header_length + decoded.extensions.n + 8;
}

static size_t end_of(const struct header *h)
{
	return MAX(h->header_length + h->extensions.n + 8,
		   h->backing_name.n ? (size_t)h->backing_off + h->backing_name.n : 0);
}

/* What the manual promises: the lists fit into the first sector, and behind all there is room for
 * the old name. */
static bool must_be_safe(void)
{
	size_t size = (size_t)1 << old.h.cluster_bits;

	return list_needs(&old.h) <= SECTOR_SIZE && list_needs(&new.h) <= SECTOR_SIZE &&
	       MAX(end_of(&old.h), end_of(&new.h)) + old.h.backing_name.n <= size;
}

/* As header_encode() lays it out, but perhaps with the name farther behind. */
static bool is_clean(const uint8_t *bytes, size_t size)
{
	uint8_t *again = malloc(size);
	struct err e = ERR_INIT;
	struct header h;
	bool clean = header_decode(bytes, size, &h, &e) == 0;
	struct header_form form = { false, clean ? (size_t)h.backing_off : 0 };

	clean = clean && header_encode_as(again, &h, &form, &e) == 0 &&
		!memcmp(again, bytes, size);
	free(again);
	return clean;
}

struct tally {
	unsigned stored, at_once, in_between, promised, refused;
};

/* Nothing is written, and there was somebody's extension to be careful with. */
static void judge_refusal(const struct err *e, const uint8_t *bytes, size_t size)
{
	struct rd r = rd_over(old.h.extensions.p, old.h.extensions.n);
	struct err ignored = ERR_INIT;
	struct header_ext x;

	CHECK(e->code == ERR_UNSUPPORTED && !must_be_safe());
	CHECK(header_ext_next_unknown(&r, &x, &ignored) == 1);
	CHECK(!memcmp(bytes, old.cluster, size) && !memcmp(device.durable, old.cluster, size) &&
	      device.writes == 0);
}

static void store_and_judge(struct tally *t)
{
	size_t size = (size_t)1 << old.h.cluster_bits;
	uint8_t *bytes = malloc(size);
	struct err e = ERR_INIT;
	uint64_t id = seed;

	memcpy(bytes, old.cluster, size);
	device = (struct device){ .size = size, .is_good = is_old_or_new };
	device.file.ops = &device_ops;
	device.file.flags = FILE_WRITE;
	device.durable = malloc(size);
	memcpy(device.durable, old.cluster, size);
	bool begun = one_in(2);

	if (begun)
		CHECK(header_store_begin(&device.file, bytes, new.cluster, size, &e) == 0 &&
		      device.first_sector_writes == 0 && device_flush(&device.file, &e) == 0);
	bool refused = header_store_check(bytes, new.cluster, size, &e) < 0;

	CHECK((header_store(&device.file, bytes, new.cluster, size, &e) < 0) == refused);
	t->refused += refused;
	t->stored++;
	if (refused) {
		judge_refusal(&e, bytes, size);
		memcpy(left, device.durable, size);
		goto out;
	}
	unsigned writes = device.writes;

	/* It is durable already: what still waits may vanish. */
	CHECK(is_old_or_new(device.durable, size));
	struct header h;

	CHECK(header_decode(device.durable, size, &h, &e) == 0 && says_the_same(&h, &new.h));
	CHECK(device_flush(&device.file, &e) == 0);
	CHECK(!memcmp(device.durable, bytes, size) && is_clean(bytes, size));
	CHECK(!device.bad || (writes == 1 && !must_be_safe()));
	if (device.bad && must_be_safe())
		printf("# %u bad states of %u, seed %llu\n", device.bad, device.states,
		       (unsigned long long)id);
	memcpy(left, device.durable, size);
	t->at_once += device.bad > 0;
	t->promised += must_be_safe();
	t->in_between += device.first_sector_writes > 1;
out:
	free(device.durable);
	free(bytes);
}

static void a_crash_leaves_the_old_header_or_the_new_one(void)
{
	struct tally t = { 0 };
	uint8_t list[1 << 12];

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct header h = some_header();

		unknown_add(&h, list, sizeof list);
		name_some(&h);
		bool good = lay(&old, &h, false);

		name_some(&h);
		h.autoclear_features &= one_in(2) ? 0 : AUTOCLEAR_KNOWN;
		good = lay(&new, &h, true) && good;
		if (good)
			store_and_judge(&t);
		free(old.cluster);
		free(new.cluster);
	}
	/* Every way was gone, and most headers are of the kind that is promised to be safe. */
	printf("# %u stored, %u promised, %u with one in between, %u torn, %u refused\n", t.stored,
	       t.promised, t.in_between, t.at_once, t.refused);
	CHECK(t.stored > ROUNDS / 2 && t.promised > t.stored / 2 && t.in_between > 50 && t.refused > 10 &&
	      t.at_once > 5);
}

/* Stores the second header over the first, in so many writes, each time with one of the first
 * sector. */
static void replace(struct sayings *from, const struct sayings *to, unsigned writes)
{
	struct tally t = { 0 };
	struct err e = ERR_INIT;

	old = *from;
	new = *to;
	store_and_judge(&t);
	CHECK(!device.bad && device.writes == writes && device.first_sector_writes == !!writes);
	memcpy(from->cluster, left, sizeof left);
	CHECK(header_decode(from->cluster, sizeof left, &from->h, &e) == 0);
}

/* Images as they are made every day. */
static void the_usual_ways_are_short(void)
{
	struct header h = { .version = 3, .cluster_bits = 16, .size = 1 << 20, .l1_size = 1,
			    .l1_table_off = 3 << 16, .refcount_table_off = 1 << 16,
			    .refcount_table_clusters = 1, .refcount_order = 4 };
	struct sayings none, one, other, image;

	CHECK(lay(&image, &h, true) && lay(&none, &h, true));
	h.backing_name = (struct bytes){ (const uint8_t *)"base.qcow2", 10 };
	h.backing_format = (struct bytes){ (const uint8_t *)"qcow2", 5 };
	CHECK(lay(&one, &h, true));
	h.backing_name.p = (const uint8_t *)"more.qcow2";
	CHECK(lay(&other, &h, true));
	replace(&image, &one, 2); /* the name, then what leads to it */
	replace(&image, &one, 0);
	CHECK(image.h.backing_off == one.h.backing_off);
	replace(&image, &other, 3); /* behind the old name, which goes then */
	CHECK(image.h.backing_off == one.h.backing_off + 10);
	replace(&image, &one, 3); /* and back again */
	CHECK(image.h.backing_off == one.h.backing_off);
	replace(&image, &none, 2); /* what leads to the name, and then the name goes */
	free(image.cluster);
	free(none.cluster);
	free(one.cluster);
	free(other.cluster);
}

static void a_failure_is_reported(void)
{
	struct err e = ERR_INIT;
	struct file *f = file_mem_new(NULL, 0, &e);
	uint8_t bytes[512] = { 0 };

	CHECK(header_store(f, bytes, bytes, sizeof bytes, &e) == -1 && e.code == ERR_CORRUPT);
	file_drop(f);
}

int main(void)
{
	for (size_t i = 0; i < sizeof letters; i++)
		letters[i] = (char)('a' + below(26));
	RUN(a_crash_leaves_the_old_header_or_the_new_one);
	RUN(the_usual_ways_are_short);
	RUN(a_failure_is_reported);
	return DONE();
}
