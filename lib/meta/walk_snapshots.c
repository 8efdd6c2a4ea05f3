/* The snapshot table, entry by entry, and the L1 tables that it names. */
#include "meta/walk_internal.h"

#include <string.h>

#include "base/align.h"
#include "base/text.h"
#include "base/vec.h"
#include "format/snapshot_entry.h"

#define FIXED_BYTES 40 /* of an entry (8.1) */
#define EXTRA_LEN_AT 36

/* As far as it is a name: no writer knows of zero bytes in one. */
static size_t name_len(const struct snapshot_entry *s)
{
	return s->name.n ? strnlen((const char *)s->name.p, s->name.n) : 0;
}

static int snapshot_keep(struct walk *w, const struct snapshot_entry *s, struct err *e)
{
	if (!vec_grow(&w->snapshots, w->snapshot_nr, &w->snapshot_room))
		return err_nomem(e);
	struct walk_snapshot *kept = &w->snapshots[w->snapshot_nr++];

	*kept = (struct walk_snapshot) { .l1_off = s->l1_off,
					 .l1_nr = s->l1_nr,
					 .l1_need = walk_l1_need(w->src.geom, s),
					 .disk_size = s->has_disk_size ? s->disk_size : 0 };
	text_keep(s->id.p, s->id.n, kept->id, sizeof kept->id);
	text_keep(s->name.p, s->name.n, kept->name, sizeof kept->name);
	return 0;
}

/* Whether an L1 table with too many entries has those that are needed. */
static bool can_be_shortened(const struct walk *w, const struct snapshot_entry *s)
{
	uint64_t need = walk_l1_need(w->src.geom, s);

	return need && walk_in_file(w, s->l1_off, need * 8);
}

/* Notes the snapshot, and its L1 table if that can be walked. */
static int snapshot_take(struct walk *w, const struct snapshot_entry *s, uint64_t place,
			 struct err *e)
{
	const struct geom *g = w->src.geom;
	uint32_t idx = w->snapshot_nr;
	struct walk_fault f = { .what = WALK_L1_TABLE,
				.owner = { WALK_SNAPSHOT, idx },
				.place = place,
				.value = s->l1_off,
				.host = s->l1_off };

	if (snapshot_keep(w, s, e) < 0)
		return -1;
	if (s->l1_nr * UINT64_C(8) > L1_BYTES_MAX && !can_be_shortened(w, s)) {
		f.bad = WALK_BAD_SIZE;
		f.value = s->l1_nr;
		return walk_report(w, &f, e);
	}
	if (geom_in_cluster(g, s->l1_off)) {
		f.bad = WALK_BAD_ALIGNMENT;
		return walk_report(w, &f, e);
	}
	/* An offset that no file can have is refused by whoever reads the table, even if it is empty. */
	if (!s->l1_nr && s->l1_off > FILE_OFFSET_MAX) {
		f.bad = WALK_BAD_RANGE;
		return walk_report(w, &f, e);
	}
	w->snapshots[idx].followed = true;
	return walk_add_tree(w, f.owner, s->l1_off, s->l1_nr, e);
}

/* Decodes the entry at *pos and moves *pos behind it. Returns 1, or 0 if there is none that
 * can be read; then everything behind it is lost too, for entries have no fixed length. */
static int entry_next(struct walk *w, struct walk_window *v, uint64_t *pos,
		      struct snapshot_entry *s, struct err *e)
{
	struct walk_fault f = { .what = WALK_SNAPSHOT_TABLE,
				.owner = { WALK_SNAPSHOT, w->snapshot_nr },
				.place = v->off + *pos };
	struct err why = ERR_INIT;
	struct rd r;

	if (window_at(v, *pos, FIXED_BYTES, &r, &why) < 0) {
		f.bad = WALK_BAD_READ;
	} else if (rd_left(&r) < FIXED_BYTES || !walk_in_file(w, f.place, FIXED_BYTES)) {
		f.bad = *pos + FIXED_BYTES > SNAPSHOT_TABLE_BYTES_MAX ? WALK_BAD_SIZE
								      : WALK_BAD_RANGE;
	} else if (be32_get(r.base + EXTRA_LEN_AT) > SNAPSHOT_EXTRA_MAX) {
		f.bad = WALK_BAD_EXTRA;
		f.value = be32_get(r.base + EXTRA_LEN_AT);
	} else {
		size_t n = FIXED_BYTES + be32_get(r.base + EXTRA_LEN_AT) +
			   (size_t)be16_get(r.base + 12) + be16_get(r.base + 14);

		/* Past the end of the file zeros are read, so only the end of the largest
		 * table cuts an entry. */
		f.bad = WALK_BAD_SIZE;
		if (window_at(v, *pos, n, &r, &why) == 0 &&
		    snapshot_entry_decode(&r, s, &why) == 0) {
			*pos += n;
			return 1;
		}
		if (why.code == ERR_IO)
			f.bad = WALK_BAD_READ;
	}
	if (why.code == ERR_NOMEM)
		return err_nomem(e);
	f.text = err_is(&why) ? why.text : NULL;
	return walk_report(w, &f, e);
}

static int entry_judge(struct walk *w, const struct snapshot_entry *s, uint64_t place,
		       struct err *e)
{
	struct walk_fault f = { .what = WALK_SNAPSHOT_TABLE,
				.owner = { WALK_SNAPSHOT, w->snapshot_nr },
				.place = place };

	if (w->src.geom->version >= 3 && s->extra.n < SNAPSHOT_EXTRA_V3_MIN) {
		f.bad = WALK_BAD_SHORT;
		f.value = s->extra.n;
		return walk_report(w, &f, e); /* then id and name are elsewhere */
	}
	if (name_len(s) == s->name.n)
		return 0;
	f.bad = WALK_BAD_NAME;
	f.value = s->name.n;
	return walk_report(w, &f, e);
}

static int entries_walk(struct walk *w, struct walk_window *v, uint64_t *pos, struct err *e)
{
	uint32_t nr = MIN(w->src.header->nb_snapshots, SNAPSHOTS_MAX);
	struct snapshot_entry s;
	int more = 1;

	while (w->snapshot_nr < nr) {
		uint64_t place = v->off + align_up(*pos, 8), at = align_up(*pos, 8);

		more = entry_next(w, v, &at, &s, e);
		if (more <= 0)
			return more;
		*pos = at;
		if (entry_judge(w, &s, place, e) < 0)
			return -1;
		if (snapshot_take(w, &s, place, e) < 0)
			return -1;
	}
	return 0;
}

/* What the header says of the table. 1: it can be read. */
static int place_check(struct walk *w, struct err *e)
{
	const struct header *h = w->src.header;
	struct walk_fault f = { .what = WALK_SNAPSHOT_TABLE,
				.value = h->snapshots_off,
				.host = h->snapshots_off };

	if (h->nb_snapshots && w->src.geom->data_file) {
		f.bad = WALK_BAD_FORBIDDEN;
		if (walk_report(w, &f, e) < 0)
			return -1;
	}
	if (h->nb_snapshots > SNAPSHOTS_MAX) {
		struct walk_fault many = f;

		many.bad = WALK_BAD_COUNT;
		many.value = h->nb_snapshots;
		if (walk_report(w, &many, e) < 0)
			return -1;
	}
	if (geom_in_cluster(w->src.geom, h->snapshots_off)) {
		f.bad = WALK_BAD_ALIGNMENT;
		return walk_report(w, &f, e);
	}
	/* One entry at least must be there, and behind the header. An offset that no file can have is
	 * refused by whoever opens the image, even if there is no entry. */
	if (h->nb_snapshots ? !h->snapshots_off || !walk_in_file(w, h->snapshots_off, FIXED_BYTES)
			    : h->snapshots_off > FILE_OFFSET_MAX) {
		f.bad = WALK_BAD_RANGE;
		return walk_report(w, &f, e);
	}
	return h->nb_snapshots > 0;
}

int walk_snapshot_table(struct walk *w, struct err *e)
{
	struct walk_area a = { .what = WALK_SNAPSHOT_TABLE,
			       .times = 1,
			       .host = w->src.header->snapshots_off };
	struct walk_fault f = { .what = WALK_SNAPSHOT_TABLE, .value = a.host };
	struct walk_window v = { .walk = w,
				 .off = a.host,
				 .len = SNAPSHOT_TABLE_BYTES_MAX };
	bool in_file;
	int ret = place_check(w, e);

	if (ret <= 0)
		return ret;
	ret = entries_walk(w, &v, &a.len, e);
	if (w->snapshot_nr == w->src.header->nb_snapshots)
		w->snapshots_end = a.host + align_up(a.len, 8);
	if (ret == 0)
		ret = walk_claim(w, &a, &f, &in_file, e);
	window_fini(&v);
	return ret;
}
