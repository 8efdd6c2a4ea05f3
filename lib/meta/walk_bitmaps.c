/* The bitmap directory, the tables that it names, and the clusters that those name. */
#include "meta/walk_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/vec.h"
#include "format/bitmap_entry.h"
#include "format/l1_entry.h"

#define FIXED_BYTES 24 /* of a directory entry (9.2) */

struct table_place {
	uint64_t off, len; /* bytes */
	uint32_t idx;      /* of the bitmap */
};

struct name {
	uint64_t hash, place;
	uint32_t idx; /* of the bitmap */
};

struct bitmaps {
	struct walk *walk;
	struct table_place *tables;
	size_t table_nr, table_room;
	struct name *names;
	size_t name_nr, name_room;
	uint32_t idx;   /* of the entry at hand */
	uint64_t place; /* of the entry at hand */
};

static int bitmap_fault(struct bitmaps *b, enum walk_what what, enum walk_bad bad,
			uint64_t value, const char *text, struct err *e)
{
	struct walk_fault f = { .what = what,
				.bad = bad,
				.owner = { WALK_BITMAP, b->idx },
				.place = b->place,
				.value = value,
				.text = text };

	return walk_report(b->walk, &f, e);
}

/* FNV-1a: names are few, and who arranges a collision gets a false finding in his own
 * image. */
static uint64_t name_hash(struct bytes name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ name.p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* Whether the table may be walked; 1 if so. */
static int place_check(struct bitmaps *b, const struct bitmap_entry *x, struct err *e)
{
	const struct geom *g = b->walk->src.geom;

	if (geom_in_cluster(g, x->table_off))
		return bitmap_fault(b, WALK_BITMAP_TABLE, WALK_BAD_ALIGNMENT, x->table_off,
				    NULL, e);
	if ((uint64_t)x->table_nr << g->cluster_bits > BITMAP_BYTES_MAX)
		return bitmap_fault(b, WALK_BITMAP_TABLE, WALK_BAD_SIZE, x->table_nr, NULL,
				    e);
	return 1;
}

static int bitmap_take(struct bitmaps *b, const struct bitmap_entry *x, struct err *e)
{
	const struct geom *g = b->walk->src.geom;
	uint64_t need =
	    bitmap_table_entries(g->disk_size, x->granularity_bits, g->cluster_bits);

	if ((x->flags & ~BITMAP_FLAGS_KNOWN) &&
	    bitmap_fault(b, WALK_BITMAP_DIRECTORY, WALK_BAD_FLAGS, x->flags, NULL, e) < 0)
		return -1;
	/* One in use may be behind the disk's size (9.4). */
	if (!(x->flags & BITMAP_IN_USE) && x->table_nr != need &&
	    bitmap_fault(b, WALK_BITMAP_TABLE, x->table_nr < need ? WALK_BAD_SHORT : WALK_BAD_LONG,
			 x->table_nr, NULL, e) < 0)
		return -1;
	if (!vec_grow(&b->names, b->name_nr, &b->name_room) ||
	    !vec_grow(&b->tables, b->table_nr, &b->table_room))
		return err_nomem(e);
	b->names[b->name_nr++] = (struct name) { name_hash(x->name), b->place, b->idx };
	int ret = place_check(b, x, e);

	if (ret > 0)
		b->tables[b->table_nr++] =
		    (struct table_place) { x->table_off, x->table_nr * UINT64_C(8),
					   b->idx };
	return ret < 0 ? -1 : 0;
}

/* Reads the entry at *pos. 1: taken, or bad by itself only; 0: nothing behind it can be
 * read. */
static int entry_walk(struct bitmaps *b, struct walk_window *v, uint64_t *pos,
		      struct err *e)
{
	struct bitmap_entry x;
	struct err why = ERR_INIT;
	struct rd r;
	int ret = window_at(v, *pos, FIXED_BYTES, &r, &why);

	if (ret == 0 && rd_left(&r) >= FIXED_BYTES) {
		uint64_t n =
		    FIXED_BYTES + be32_get(r.base + 20) + (uint64_t)be16_get(r.base + 18);

		ret = window_at(v, *pos, align_up(n, 8), &r, &why);
	}
	if (ret == 0)
		ret = bitmap_entry_decode(&r, &x, &why);
	if (why.code == ERR_NOMEM)
		return err_nomem(e);
	if (why.code == ERR_IO)
		return bitmap_fault(b, WALK_BITMAP_DIRECTORY, WALK_BAD_READ, 0, why.text,
				    e);
	if (ret < 0 && r.failed)
		return bitmap_fault(b, WALK_BITMAP_DIRECTORY, WALK_BAD_RECORD, 0, why.text,
				    e);
	*pos += r.pos;
	if (ret < 0)
		ret =
		    bitmap_fault(b, WALK_BITMAP_DIRECTORY, WALK_BAD_RECORD, 0, why.text, e);
	else
		ret = bitmap_take(b, &x, e);
	return ret < 0 ? -1 : 1;
}

static int directory_walk(struct bitmaps *b, struct err *e)
{
	const struct bitmaps_ext *x = &b->walk->src.header->bitmaps;
	struct walk_window v = { .walk = b->walk,
				 .off = x->directory_off,
				 .len = x->directory_len };
	uint64_t pos = 0;
	int ret = 1;

	while (ret > 0 && b->idx < x->nr) {
		b->place = x->directory_off + pos;
		ret = entry_walk(b, &v, &pos, e);
		b->idx += ret > 0;
	}
	if (ret > 0 && pos != x->directory_len) {
		b->place = x->directory_off + pos;
		ret = bitmap_fault(b, WALK_BITMAP_DIRECTORY, WALK_BAD_RECORD, 0,
				   "the directory is longer than its entries", e);
	}
	window_fini(&v);
	return ret < 0 ? -1 : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

static int names_check(struct bitmaps *b, struct err *e)
{
	if (b->name_nr > 1)
		qsort(b->names, b->name_nr, sizeof *b->names, by_name);
	for (size_t i = 1; i < b->name_nr; i++) {
		if (b->names[i].hash != b->names[i - 1].hash)
			continue;
		b->idx = b->names[i].idx;
		b->place = b->names[i].place;
		if (bitmap_fault(b, WALK_BITMAP_DIRECTORY, WALK_BAD_NAME, 0, NULL, e) < 0)
			return -1;
	}
	return 0;
}

/* Data clusters that follow each other in the file, to be handed over as one. */
struct data_run {
	uint64_t host, len;
	uint64_t place, value;
};

static int run_claim(struct bitmaps *b, struct data_run *run, struct err *e)
{
	struct walk_area a = { .what = WALK_BITMAP_DATA,
			       .owner = { WALK_BITMAP, b->idx },
			       .host = run->host,
			       .len = run->len,
			       .times = 1 };
	struct walk_fault f = { .what = WALK_BITMAP_DATA,
				.place = run->place,
				.value = run->value };
	bool in_file;

	run->len = 0;
	return walk_claim(b->walk, &a, &f, &in_file, e);
}

static int table_entry_walk(struct bitmaps *b, uint64_t place, uint64_t raw,
			    struct data_run *run, struct err *e)
{
	const struct geom *g = b->walk->src.geom;
	struct bitmap_table_entry x = bitmap_table_entry_decode(raw);
	uint64_t size = geom_cluster_size(g);

	b->place = place;
	if ((x.reserved || (x.all_ones && x.data_off)) &&
	    bitmap_fault(b, WALK_BITMAP_DATA, WALK_BAD_RESERVED, raw, NULL, e) < 0)
		return -1;
	if (!x.data_off)
		return 0;
	if (geom_in_cluster(g, x.data_off))
		return bitmap_fault(b, WALK_BITMAP_DATA, WALK_BAD_ALIGNMENT, raw, NULL, e);
	/* Runs end with the file, so that only what lies outside is refused. */
	if (run->len && x.data_off == run->host + run->len &&
	    walk_in_file(b->walk, run->host, run->len + size)) {
		run->len += size;
		return 0;
	}
	if (run_claim(b, run, e) < 0)
		return -1;
	*run = (struct data_run) { x.data_off, size, place, raw };
	return 0;
}

static int table_walk(struct bitmaps *b, const struct table_place *t, struct err *e)
{
	struct walk *w = b->walk;
	struct walk_fault f = { .what = WALK_BITMAP_TABLE,
				.owner = { WALK_BITMAP, t->idx } };
	struct data_run run = { 0 };
	bool empty;

	b->idx = t->idx;
	for (uint64_t at = 0; at < t->len; at += WALK_BUFFER) {
		size_t n = (size_t)MIN(t->len - at, WALK_BUFFER);

		f.place = t->off + at;
		if (walk_read(w, f.place, w->buf, n, &f, &empty, e) < 0)
			return -1;
		for (size_t i = 0; !empty && i < n; i += 8) {
			uint64_t raw = be64_get(w->buf + i);

			if (raw && table_entry_walk(b, f.place + i, raw, &run, e) < 0)
				return -1;
		}
	}
	return run_claim(b, &run, e);
}

static int by_place(const void *a, const void *b)
{
	const struct table_place *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

/* Every table is claimed; one that lies across another is not read, so that a thousand
 * entries cannot have the same bytes read a thousand times. */
static int tables_walk(struct bitmaps *b, struct err *e)
{
	uint64_t read_to = 0;

	if (b->table_nr > 1)
		qsort(b->tables, b->table_nr, sizeof *b->tables, by_place);
	for (size_t i = 0; i < b->table_nr; i++) {
		const struct table_place *t = &b->tables[i];
		struct walk_area a = { .what = WALK_BITMAP_TABLE,
				       .owner = { WALK_BITMAP, t->idx },
				       .host = t->off,
				       .len = t->len,
				       .times = 1 };
		struct walk_fault f = { .what = WALK_BITMAP_TABLE, .value = t->off };
		bool in_file;

		if (walk_claim(b->walk, &a, &f, &in_file, e) < 0)
			return -1;
		if (!in_file || t->off < read_to)
			continue;
		read_to = t->off + t->len;
		if (table_walk(b, t, e) < 0)
			return -1;
	}
	return 0;
}

int walk_bitmaps(struct walk *w, struct err *e)
{
	const struct header *h = w->src.header;
	struct bitmaps b = { .walk = w };
	struct walk_area a = { .what = WALK_BITMAP_DIRECTORY,
			       .host = h->bitmaps.directory_off,
			       .len = h->bitmaps.directory_len,
			       .times = 1 };
	struct walk_fault f = { .what = WALK_BITMAP_DIRECTORY,
				.bad = WALK_BAD_MISSING,
				.value = a.host };
	bool in_file;
	int ret = -1;

	/* Without the autoclear bit the bitmaps are void, and their clusters nobody's
	 * (9.4). */
	if (!(h->autoclear_features & AUTOCLEAR_BITMAPS))
		return 0;
	if (!h->has_bitmaps_ext)
		return walk_report(w, &f, e);
	if (walk_claim(w, &a, &f, &in_file, e) < 0)
		return -1;
	if (!in_file)
		return 0;
	if (directory_walk(&b, e) == 0 && names_check(&b, e) == 0)
		ret = tables_walk(&b, e);
	free(b.tables);
	free(b.names);
	return ret;
}
