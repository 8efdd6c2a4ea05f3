/* Persistent bitmaps: kept where they can be, marked as inconsistent where what they say is in
 * doubt, dropped where they lead nowhere (9). */
#include "ops/repair_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/text.h"
#include "format/bitmap_entry.h"

#define FLAGS_AT 12
#define PART 8192 /* bytes of a bitmap table at a time */

struct bitmaps {
	struct repair *repair;
	uint8_t *bytes; /* the directory */
	size_t n;
	uint8_t *out; /* the new one */
	size_t out_n;
	uint32_t kept, idx;
	uint64_t *names; /* hashes of those kept: slots, 0 = free */
	size_t slots;
	bool moves; /* entries are dropped: the directory is written anew */
	bool marks; /* what the disk reads changes: those that record don't in the new one */
	uint32_t marked;
	char marked_name[UNRECORDED_NAME_MAX]; /* the first of them */
};

static const enum problem_kind kinds[] = {
	PROBLEM_BITMAP_DIRECTORY_OUT_OF_FILE, PROBLEM_BITMAP_ENTRY,
	PROBLEM_BITMAP_FLAGS,		      PROBLEM_BITMAP_NAME,
	PROBLEM_BITMAP_TABLE_UNALIGNED,	      PROBLEM_BITMAP_TABLE_OUT_OF_FILE,
	PROBLEM_BITMAP_TABLE_SIZE,	      PROBLEM_BITMAP_TABLE_SHORT,
	PROBLEM_BITMAP_TABLE_LONG,	      PROBLEM_BITMAP_DATA_UNALIGNED,
	PROBLEM_BITMAP_ENTRY_RESERVED,	      PROBLEM_BITMAP_DATA_OUT_OF_FILE,
	PROBLEM_METADATA_OVERLAP,	      PROBLEM_CROSS_LINK,
};

static void told(struct bitmaps *b, enum problem_kind kind, uint64_t place, uint64_t value)
{
	struct finding f = { .kind = kind,
			     .owner = FINDING_BITMAP,
			     .owner_idx = b->idx,
			     .has_place = place,
			     .place = place,
			     .has_value = true,
			     .value = value };

	repair_fixed(b->repair, &f, NULL);
}

static bool is_crossed(const struct repair *r, uint64_t host, uint64_t len)
{
	const struct check *c = &r->check;
	uint64_t end = MIN(check_cluster(c, host + len - 1) + 1, c->clusters);

	for (uint64_t i = check_cluster(c, host); i < end; i++)
		if (check_is_crossed(c, i) && !bit_at(c->refcounts, i))
			return true;
	return false;
}

/* --- tables --- */

/* Where the bits cannot be had, all of them count as set: who makes an incremental copy then copies
 * more, never less. */
static uint64_t table_entry_repaired(struct bitmaps *b, uint64_t place, uint64_t raw)
{
	const struct check *c = &b->repair->check;
	struct bitmap_table_entry x = bitmap_table_entry_decode(raw);

	if (x.reserved || (x.all_ones && x.data_off)) {
		told(b, PROBLEM_BITMAP_ENTRY_RESERVED, place, raw);
		x.reserved = 0;
		x.all_ones = x.all_ones && !x.data_off;
	}
	if (!x.data_off)
		return bitmap_table_entry_encode(&x);
	if (geom_in_cluster(c->geom, x.data_off))
		told(b, PROBLEM_BITMAP_DATA_UNALIGNED, place, raw);
	else if (check_cluster(c, x.data_off) >= c->clusters)
		told(b, PROBLEM_BITMAP_DATA_OUT_OF_FILE, place, raw);
	else if (is_crossed(b->repair, x.data_off, 1))
		told(b, PROBLEM_METADATA_OVERLAP, place, raw);
	else
		return bitmap_table_entry_encode(&x);
	return bitmap_table_entry_encode(&(struct bitmap_table_entry){ .all_ones = true });
}

static int table_repair(struct bitmaps *b, const struct bitmap_entry *x, struct err *e)
{
	struct repair *r = b->repair;
	uint8_t part[PART];
	uint64_t len = x->table_nr * UINT64_C(8);

	for (uint64_t at = 0; at < len; at += PART) {
		struct repair_table t = { .host = x->table_off + at, .bytes = part };
		size_t n = (size_t)MIN(len - at, PART);

		memset(part, 0, sizeof part);
		if (watch_stopped(r->options->watch, e) < 0 ||
		    file_read_padded(r->file, t.host, part, n, NULL, e) < 0)
			return -1;
		for (size_t i = 0; i < n; i += 8) {
			uint64_t raw = be64_get(part + i);

			if (raw)
				repair_table_put(&t, i, table_entry_repaired(b, t.host + i, raw));
		}
		if (repair_words_store(r, &t, e) < 0)
			return -1;
	}
	return 0;
}

/* --- entries --- */

/* FNV-1a; two names with one hash are rarer than any damage. */
static bool name_seen(struct bitmaps *b, struct bytes name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ name.p[i]) * UINT64_C(0x100000001b3);
	h |= !h;
	for (size_t i = h & (b->slots - 1);; i = (i + 1) & (b->slots - 1)) {
		if (b->names[i] == h)
			return true;
		if (!b->names[i]) {
			b->names[i] = h;
			return false;
		}
	}
}

/* Why a bitmap cannot be kept; PROBLEM_KINDS: it can. */
static enum problem_kind entry_judge(struct bitmaps *b, const struct bitmap_entry *x)
{
	const struct check *c = &b->repair->check;
	uint64_t len = x->table_nr * UINT64_C(8);

	if (geom_in_cluster(c->geom, x->table_off))
		return PROBLEM_BITMAP_TABLE_UNALIGNED;
	if ((uint64_t)x->table_nr << c->geom->cluster_bits > BITMAP_BYTES_MAX)
		return PROBLEM_BITMAP_TABLE_SIZE;
	if (!walk_in_file(c->walk, x->table_off, len))
		return PROBLEM_BITMAP_TABLE_OUT_OF_FILE;
	if (is_crossed(b->repair, x->table_off, len))
		return PROBLEM_METADATA_OVERLAP;
	if (name_seen(b, x->name))
		return PROBLEM_BITMAP_NAME;
	return PROBLEM_KINDS;
}

static uint32_t flags_repaired(struct bitmaps *b, const struct bitmap_entry *x, uint64_t place)
{
	const struct geom *g = &b->repair->geom;
	uint64_t need = bitmap_table_entries(g->disk_size, x->granularity_bits, g->cluster_bits);
	uint32_t flags = x->flags;

	if (flags & ~BITMAP_FLAGS_KNOWN) {
		told(b, PROBLEM_BITMAP_FLAGS, place, flags);
		/* The one about extra data is right if there are some. */
		flags = (flags & (x->extra.n ? BITMAP_FLAGS_KNOWN : BITMAP_AUTO)) | BITMAP_IN_USE;
	}
	if (!(flags & BITMAP_IN_USE) && x->table_nr != need) {
		told(b, x->table_nr < need ? PROBLEM_BITMAP_TABLE_SHORT : PROBLEM_BITMAP_TABLE_LONG, place,
		     x->table_nr);
		flags |= BITMAP_IN_USE;
	}
	return flags;
}

static int entry_keep(struct bitmaps *b, const struct bitmap_entry *x, size_t at, size_t len,
		      struct err *e)
{
	uint64_t place = b->repair->header.bitmaps.directory_off + at;
	uint32_t flags = flags_repaired(b, x, place);

	if (flags != x->flags) {
		uint8_t bytes[4];

		be32_put(bytes, flags);
		if (repair_write(b->repair, place + FLAGS_AT, bytes, sizeof bytes, e) < 0)
			return -1;
	}
	if (b->marks && repair_bitmap_records(x)) {
		flags |= BITMAP_IN_USE;
		if (!b->marked++)
			text_escape(x->name.p, x->name.n, b->marked_name, sizeof b->marked_name);
	}
	memcpy(b->out + b->out_n, b->bytes + at, len);
	be32_put(b->out + b->out_n + FLAGS_AT, flags);
	b->out_n += len;
	b->kept++;
	return table_repair(b, x, e);
}

/* 1: there may be more. */
static int entry_take(struct bitmaps *b, size_t *pos, struct err *e)
{
	struct rd r = rd_over(b->bytes + *pos, b->n - *pos);
	uint64_t place = b->repair->header.bitmaps.directory_off + *pos;
	struct err why = ERR_INIT;
	struct bitmap_entry x;
	size_t at = *pos;
	int ret = bitmap_entry_decode(&r, &x, &why);
	enum problem_kind kind = ret < 0 ? PROBLEM_BITMAP_ENTRY : entry_judge(b, &x);

	*pos += r.pos;
	if (kind == PROBLEM_KINDS)
		return entry_keep(b, &x, at, r.pos, e) < 0 ? -1 : 1;
	told(b, kind, place, 0);
	b->moves = true;
	return !r.failed;
}

/* --- the directory --- */

static int all_drop(struct repair *r, struct err *e)
{
	struct header h = r->header;

	h.has_bitmaps_ext = false;
	h.autoclear_features &= ~AUTOCLEAR_BITMAPS;
	return repair_header_replace(r, &h, e);
}

static int directory_move(struct bitmaps *b, struct err *e)
{
	struct repair *r = b->repair;
	uint64_t size = geom_cluster_size(&r->geom), host;
	struct header h = r->header;

	if (repair_abandon(r, h.bitmaps.directory_off, b->n, WALK_BITMAP_DIRECTORY, e) < 0)
		return -1;
	if (!b->kept)
		return all_drop(r, e);
	if (repair_take(r, geom_clusters(&r->geom, b->out_n), &host, e) < 0 ||
	    repair_write(r, host, b->out, (size_t)align_up(b->out_n, size), e) < 0)
		return -1;
	h.bitmaps = (struct bitmaps_ext){ .nr = b->kept,
					  .directory_len = b->out_n,
					  .directory_off = host };
	return repair_header_replace(r, &h, e);
}

/* Data of the disk on what is a bitmap's: it yields, so that they stay what they are, which is not what
 * the guest wrote. Or on the header, which is to change. */
static bool disk_lies_on_them(const struct repair *r)
{
	return r->disk_lies_on & (1u << WALK_BITMAP_DIRECTORY | 1u << WALK_BITMAP_TABLE |
				  1u << WALK_BITMAP_DATA | 1u << WALK_HEADER);
}

static int directory_repair(struct bitmaps *b, struct err *e)
{
	struct repair *r = b->repair;
	const struct bitmaps_ext *x = &r->header.bitmaps;
	size_t pos = 0;
	int more = 1;

	b->moves = is_crossed(r, x->directory_off, b->n);
	b->marks = disk_lies_on_them(r) && b->moves && !r->unrecorded;
	r->unrecorded |= b->marks;
	/* Marks in the old one come before it is read. */
	if (disk_lies_on_them(r) && repair_disk_changes(r, e) < 0)
		return -1;
	if (!(r->header.autoclear_features & AUTOCLEAR_BITMAPS))
		return 0;
	if (file_read_padded(r->file, x->directory_off, b->bytes, b->n, NULL, e) < 0)
		return -1;
	for (; more > 0 && b->idx < x->nr; b->idx++)
		more = entry_take(b, &pos, e);
	if (more > 0 && pos != b->n) {
		told(b, PROBLEM_BITMAP_ENTRY, x->directory_off + pos, 0);
		b->moves = true;
	}
	if (more < 0)
		return -1;
	if (b->marked)
		repair_unrecorded_told(r, b->marked, b->marked_name);
	return b->moves ? directory_move(b, e) : 0;
}

static bool wanted(const struct repair *r)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (repair_has(r, kinds[i]))
			return true;
	return false;
}

int repair_bitmaps(struct repair *r, struct err *e)
{
	const struct header *h = &r->header;
	struct bitmaps b = { .repair = r, .n = h->bitmaps.directory_len };
	uint64_t room = align_up(b.n, geom_cluster_size(&r->geom));
	int ret = -1;

	if (repair_has(r, PROBLEM_BITMAPS_MISSING)) {
		told(&b, PROBLEM_BITMAPS_MISSING, 0, 0);
		r->header.autoclear_features &= ~AUTOCLEAR_BITMAPS;
		return repair_header(r, HEADER_FEATURES, e);
	}
	if (!h->has_bitmaps_ext || !(h->autoclear_features & AUTOCLEAR_BITMAPS) || !wanted(r))
		return 0;
	if (!walk_in_file(r->check.walk, h->bitmaps.directory_off, b.n)) {
		told(&b, PROBLEM_BITMAP_DIRECTORY_OUT_OF_FILE, 0, h->bitmaps.directory_off);
		return all_drop(r, e);
	}
	for (b.slots = 16; b.slots < h->bitmaps.nr * UINT64_C(2); b.slots *= 2)
		;
	b.bytes = malloc(b.n);
	b.out = calloc(1, room);
	b.names = calloc(b.slots, sizeof *b.names);
	if (!b.bytes || !b.out || !b.names)
		err_nomem(e);
	else
		ret = directory_repair(&b, e);
	free(b.bytes);
	free(b.out);
	free(b.names);
	return ret;
}
