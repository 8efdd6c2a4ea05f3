/* The entries of a damaged snapshot table. What the lengths in an entry say is held against
 * what is there: a name holds no zero byte. */
#include "ops/repair_snapshots.h"

#include <stdio.h>
#include <string.h>

#include "base/align.h"
#include "base/text.h"

#define ID_LEN_AT 12
#define NAME_LEN_AT 14
#define EXTRA_LEN_AT 36

static bool has_zero(const uint8_t *p, size_t n)
{
	return n && memchr(p, 0, n);
}

/* Whether id and name can stand behind this much extra data. */
static bool extra_fits(const struct snapshot_repair *t, size_t at, size_t extra)
{
	const uint8_t *p = t->bytes + at;
	size_t id = be16_get(p + 12), name = be16_get(p + NAME_LEN_AT);

	return extra <= t->n - at - SNAPSHOT_FIXED_BYTES &&
	       id + name <= t->n - at - SNAPSHOT_FIXED_BYTES - extra && id + name > 0 &&
	       !has_zero(p + SNAPSHOT_FIXED_BYTES + extra, id + name);
}

/* How much extra data there is: what the entry says, unless id and name are found where
 * they mostly are, and not there. False: nothing makes sense. */
static bool extra_find(const struct snapshot_repair *t, size_t at, size_t *extra)
{
	static const size_t usual[] = { 24, 16, 8, 0 };
	size_t stored = be32_get(t->bytes + at + EXTRA_LEN_AT);

	*extra = stored;
	if (stored <= SNAPSHOT_EXTRA_MAX && extra_fits(t, at, stored))
		return true;
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (extra_fits(t, at, usual[i])) {
			*extra = usual[i];
			return true;
		}
	return stored <= SNAPSHOT_EXTRA_MAX ? stored <= t->n - at - SNAPSHOT_FIXED_BYTES
					    : extra_fits(t, at, stored);
}

/* Nothing that was ever a snapshot. */
static bool is_empty(const uint8_t *p)
{
	return !be64_get(p) && !be32_get(p + 8) && !be16_get(p + 12);
}

/* What is wrong with the L1 table of a snapshot that the pass could not follow. */
static enum problem_kind l1_kind(const struct repair *r, const struct snapshot_entry *s)
{
	if (s->l1_nr * UINT64_C(8) > L1_BYTES_MAX)
		return PROBLEM_SNAPSHOT_L1_SIZE;
	if (geom_in_cluster(&r->geom, s->l1_off))
		return PROBLEM_SNAPSHOT_L1_UNALIGNED;
	return walk_in_file(r->check.walk, s->l1_off, s->l1_nr * UINT64_C(8))
		       ? PROBLEM_SNAPSHOT_L1_OVERLAP
		       : PROBLEM_SNAPSHOT_L1_OUT_OF_FILE;
}

static void entry_drop(struct snapshot_repair *t, const struct snapshot_entry *s,
		       uint64_t place)
{
	char id[128], name[256], how[sizeof name + 32];
	struct finding f = { .kind = l1_kind(t->repair, s),
			     .owner = FINDING_SNAPSHOT,
			     .owner_idx = t->seen,
			     .owner_id = id,
			     .has_place = true,
			     .place = place,
			     .has_host = true,
			     .host = s->l1_off };

	if (!t->tells)
		return;
	text_keep(s->id.p, s->id.n, id, sizeof id);
	text_escape(s->name.p ? s->name.p : (const uint8_t *)"", s->name.n, name,
		    sizeof name);
	snprintf(how, sizeof how, "\"%s\" is dropped", name);
	repair_fixed(t->repair, &f, how);
}

/* An L1 table without an entry leads nowhere. The number is within a sector. */
static int l1_empty(struct repair *r, uint64_t place, struct err *e)
{
	static const uint8_t none[4];

	return repair_write(r, place + 8, none, sizeof none, e);
}

/* An L1 table that the pass had to follow without some of the entries that it claims. */
static void l1_shorten(struct snapshot_repair *t, struct snapshot_entry *s, uint64_t place)
{
	uint32_t nr;
	const struct walk_snapshot *all = walk_snapshots(t->repair->check.walk, &nr);

	if (t->seen >= nr || !all[t->seen].shortened || all[t->seen].l1_off != s->l1_off)
		return;
	if (t->tells)
		snapshots_told(t->repair, PROBLEM_SNAPSHOT_L1_LONG, place, s->l1_nr, NULL);
	s->l1_nr = all[t->seen].l1_nr;
}

/* Puts the entry together from its parts, decodes it, and adds it to the new table, or
 * drops it. */
static int entry_add(struct snapshot_repair *t, size_t at, size_t extra, size_t id,
		     size_t name, struct err *e)
{
	const uint8_t *p = t->bytes + at;
	size_t kept = MIN(extra, SNAPSHOT_EXTRA_MAX),
	       n = SNAPSHOT_FIXED_BYTES + kept + id + name;
	struct snapshot_entry s;
	struct rd r = rd_over(t->entry, n);

	memcpy(t->entry, p, SNAPSHOT_FIXED_BYTES + kept);
	memcpy(t->entry + SNAPSHOT_FIXED_BYTES + kept, p + SNAPSHOT_FIXED_BYTES + extra,
	       id + name);
	be16_put(t->entry + ID_LEN_AT, (uint16_t)id);
	be16_put(t->entry + NAME_LEN_AT, (uint16_t)name);
	be32_put(t->entry + EXTRA_LEN_AT, (uint32_t)kept);
	if (snapshot_entry_decode(&r, &s, e) < 0)
		return -1;
	if (t->repair->options->drop_snapshots && bit_at(t->repair->l1_broken, t->seen)) {
		entry_drop(t, &s, t->repair->header.snapshots_off + at);
		return t->empties ? l1_empty(t->repair,
					     t->repair->header.snapshots_off + at, e)
				  : 0;
	}
	l1_shorten(t, &s, t->repair->header.snapshots_off + at);
	if (t->repair->geom.version >= 3 && !s.has_disk_size) {
		s.has_disk_size = true;
		s.disk_size = t->repair->geom.disk_size;
	}
	snapshot_entry_encode(&t->out, &s);
	t->kept++;
	return 0;
}

/* Whether what stands there is surely an entry. */
static bool is_entry(const struct snapshot_repair *t, size_t at)
{
	const uint8_t *p;
	size_t extra;

	at = (size_t)align_up(at, 8);
	if (at > t->n || t->n - at < SNAPSHOT_FIXED_BYTES)
		return false;
	p = t->bytes + at;
	return be64_get(p) && !geom_in_cluster(&t->repair->geom, be64_get(p)) &&
	       be32_get(p + 8) <= L1_BYTES_MAX / 8 && extra_find(t, at, &extra) &&
	       extra_fits(t, at, extra);
}

static bool is_number(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return n;
}

/* How long the id is: id and name together have a length that their text shows, and one of the two
 * lengths may be wrong. An id is a number with whoever makes snapshots. `left`: bytes of the table. */
static size_t id_len(const uint8_t *text, size_t left, size_t id, size_t name)
{
	size_t both = strnlen((const char *)text, MIN(id + name, left));

	if (both == id + name || name >= both || (id <= both && is_number(text, id)))
		return id;
	return id > both || is_number(text, both - name) ? both - name : id;
}

/* What is wrong with an entry whose name of `name` bytes is to have `kept`, and its id `id`. */
static void entry_told(struct snapshot_repair *t, size_t at, size_t id, size_t name, size_t kept)
{
	struct repair *r = t->repair;
	uint32_t extra = be32_get(t->bytes + at + EXTRA_LEN_AT);
	uint64_t place = r->header.snapshots_off + at;

	if (!t->tells)
		return;
	if (extra > SNAPSHOT_EXTRA_MAX)
		snapshots_told(r, PROBLEM_SNAPSHOT_EXTRA_LARGE, place, extra, NULL);
	else if (r->geom.version >= 3 && extra < SNAPSHOT_EXTRA_V3_MIN)
		snapshots_told(r, PROBLEM_SNAPSHOT_EXTRA_SHORT, place, extra, NULL);
	if (id != be16_get(t->bytes + at + ID_LEN_AT))
		snapshots_told(r, PROBLEM_SNAPSHOT_NAME, place, name,
			       "it is the length of the id that is wrong, and is set to what is there");
	else if (kept < name)
		snapshots_told(r, PROBLEM_SNAPSHOT_NAME, place, name, "the name is cut there");
}

/* 1: taken, and *at moved behind it; 0: the table ends here. */
static int entry_take(struct snapshot_repair *t, size_t *at, struct err *e)
{
	const uint8_t *p = t->bytes + *at;
	size_t extra, left, here = *at;

	if (*at > t->n || t->n - *at < SNAPSHOT_FIXED_BYTES || is_empty(p) ||
	    !extra_find(t, *at, &extra))
		return 0;
	left = t->n - *at - SNAPSHOT_FIXED_BYTES - extra;
	const uint8_t *text = p + SNAPSHOT_FIXED_BYTES + extra;
	size_t name = be16_get(p + NAME_LEN_AT),
	       id = MIN(id_len(text, left, be16_get(p + ID_LEN_AT), name), left);

	name = MIN(name, left - id);
	text += id;
	const uint8_t *zero = name ? memchr(text, 0, name) : NULL;
	size_t kept = zero ? (size_t)(zero - text) : name;

	entry_told(t, here, id, be16_get(p + NAME_LEN_AT), kept);
	*at += SNAPSHOT_FIXED_BYTES + extra + id;
	/* It is the length that is wrong, unless that leads to the next one and the zero
	 * does not. */
	*at += is_entry(t, *at + kept) || !is_entry(t, *at + name) ? kept : name;
	return entry_add(t, here, extra, id, kept, e) < 0 ? -1 : 1;
}

int snapshot_entries_take(struct snapshot_repair *t, bool tells, struct err *e)
{
	uint32_t nr = MIN(t->repair->header.nb_snapshots, SNAPSHOTS_MAX);
	size_t at = 0;
	int more = 1;

	t->tells = tells;
	t->seen = t->kept = 0;
	t->out = wr_over(t->out.base, SNAPSHOT_TABLE_BYTES_MAX);
	while (more > 0 && t->seen < nr && !t->out.failed) {
		at = (size_t)align_up(at, 8);
		more = entry_take(t, &at, e);
		t->seen += more > 0;
		t->taken = more > 0 ? at : t->taken;
	}
	return more < 0 ? -1 : 0;
}
