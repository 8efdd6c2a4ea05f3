#include "io/fault_undo.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"

#define SECTOR ((size_t)512)
#define CHUNK (64 * SECTOR)
#define KEPT_MAX (((size_t)256 << 20) / SECTOR)
#define THE_LENGTH UINT64_MAX /* in the place of a position */

struct kept {
	uint64_t at;
	const uint8_t *was; /* one sector; NULL: this place of the table is free */
};

static const uint8_t zeros[SECTOR];
static size_t kept_in_all;

static uint64_t mix(uint64_t v)
{
	for (int i = 0; i < 3; i++)
		v = (v ^ v >> 29) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	return v ^ v >> 32;
}

/* --- sectors that are kept --- */

static struct kept *kept_place(struct kept *table, size_t room, uint64_t at)
{
	size_t i = mix(at) & (room - 1);

	while (table[i].was && table[i].at != at)
		i = (i + 1) & (room - 1);
	return &table[i];
}

/* A table that is at most half full has a free place for every search to end at. */
static bool kept_grow(struct fault_undo *u)
{
	size_t room = u->room ? u->room * 2 : 64;

	if (u->kept_nr < u->room / 2)
		return true;
	struct kept *table = calloc(room, sizeof *table);

	if (!table)
		return false;
	for (size_t i = 0; i < u->room; i++)
		if (u->kept[i].was)
			*kept_place(table, room, u->kept[i].at) = u->kept[i];
	free(u->kept);
	u->kept = table;
	u->room = room;
	return true;
}

static bool kept_add(struct fault_undo *u, uint64_t at, const uint8_t *bytes, bool zero)
{
	uint8_t *copy = NULL;

	if (kept_in_all == KEPT_MAX || (!zero && !(copy = malloc(SECTOR))))
		return false;
	if (copy)
		memcpy(copy, bytes, SECTOR);
	*kept_place(u->kept, u->room, at) = (struct kept){ at, copy ? copy : zeros };
	u->kept_nr++;
	kept_in_all++;
	return true;
}

static void kept_drop(struct fault_undo *u)
{
	for (size_t i = 0; i < u->room; i++)
		if (u->kept[i].was != zeros)
			free((void *)u->kept[i].was);
	free(u->kept);
	kept_in_all -= u->kept_nr;
	u->kept = NULL;
	u->kept_nr = u->room = 0;
}

/* --- going through a file --- */

/* Is shown n bytes at `at`: whole sectors, with zeros behind the end. False: no more. */
typedef bool chunk_fn(struct fault_undo *u, uint64_t at, uint8_t *bytes, size_t n,
		      void *arg);

static bool run_visit(struct fault_undo *u, uint64_t at, uint64_t end, chunk_fn *fn,
		      void *arg)
{
	struct err ignored = ERR_INIT;
	uint8_t bytes[CHUNK];

	at = align_down(at, SECTOR);
	end = align_up(end, SECTOR);
	while (at < end) {
		size_t n = (size_t)MIN(end - at, sizeof bytes);

		if (file_read_padded(u->file, at, bytes, n, NULL, &ignored) < 0 ||
		    !fn(u, at, bytes, n, arg))
			return false;
		at += n;
	}
	return true;
}

/* The sectors of [at, end) that may hold something else than zeros. */
static bool data_visit(struct fault_undo *u, uint64_t at, uint64_t end, chunk_fn *fn,
		       void *arg)
{
	struct hole_map holes = hole_map_over(u->file);

	while (at < end) {
		bool is_data;
		uint64_t n;

		hole_map_next(&holes, at, end - at, &is_data, &n);
		if (is_data && !run_visit(u, at, at + n, fn, arg))
			return false;
		at += n;
	}
	return true;
}

/* The file below the wrapper is used behind its back: it has to look. */
static bool length_learn(struct fault_undo *u, uint64_t *size)
{
	struct err ignored = ERR_INIT;

	if (file_resample(u->file, &ignored) < 0)
		return false;
	*size = file_size(u->file);
	return true;
}

/* --- keeping --- */

static bool chunk_keep(struct fault_undo *u, uint64_t at, uint8_t *bytes, size_t n,
		       void *arg)
{
	const bool *zeros_too = arg;

	for (size_t i = 0; i < n; i += SECTOR) {
		bool zero = bytes_are_zero(bytes + i, SECTOR);

		if (!kept_grow(u))
			return false;
		if (kept_place(u->kept, u->room, at + i)->was || (zero && !*zeros_too))
			continue;
		if (!kept_add(u, at + i, bytes + i, zero))
			return false;
	}
	return true;
}

static void range_keep(struct fault_undo *u, uint64_t off, uint64_t len, bool zeros_too)
{
	/* Behind the durable end there is nothing to keep: all that is there is new. */
	uint64_t end = MIN(off + len, align_up(u->size, SECTOR)), now;
	bool whole;

	if (!u->file || u->lost_track || off >= end)
		return;
	if (zeros_too)
		whole = run_visit(u, off, end, chunk_keep, &zeros_too);
	else
		whole = length_learn(u, &now) &&
			data_visit(u, off, end, chunk_keep, &zeros_too);
	if (!whole) {
		u->lost_track = true;
		kept_drop(u);
	}
}

void undo_keep(struct fault_undo *u, uint64_t off, uint64_t len)
{
	range_keep(u, off, len, true);
}

void undo_keep_data(struct fault_undo *u, uint64_t off, uint64_t len)
{
	range_keep(u, off, len, false);
}

void undo_keep_tail(struct fault_undo *u, uint64_t size)
{
	if (size < u->size)
		range_keep(u, size, u->size - size, false);
}

void undo_forget(struct fault_undo *u)
{
	if (!u->file)
		return;
	kept_drop(u);
	u->lost_track = !length_learn(u, &u->size);
}

void undo_init(struct fault_undo *u, struct file *f, uint64_t nr)
{
	*u = (struct fault_undo){ .file = f, .nr = nr, .size = file_size(f) };
}

void undo_fini(struct fault_undo *u)
{
	kept_drop(u);
}

/* --- the crash --- */

struct chances {
	uint64_t seed, mixed;
	uint64_t end; /* of the file */
};

static bool stays(const struct chances *c, uint64_t at)
{
	if (c->seed == SEED_VANISH || c->seed == SEED_STAY)
		return c->seed == SEED_STAY;
	return mix(c->mixed ^ at) & 1;
}

/* From `whole` on nothing is left to chance. */
static bool kept_put_back(struct fault_undo *u, const struct chances *c, uint64_t whole,
			  struct err *e)
{
	for (size_t i = 0; i < u->room; i++) {
		const struct kept *k = &u->kept[i];

		if (!k->was || k->at >= c->end || (k->at < whole && stays(c, k->at)))
			continue;
		if (file_write_at(u->file, k->at, k->was,
				  (size_t)MIN(c->end - k->at, SECTOR), e) < 0)
			return false;
	}
	return true;
}

static bool chunk_lose(struct fault_undo *u, uint64_t at, uint8_t *bytes, size_t n,
		       void *arg)
{
	const struct chances *c = arg;
	struct err ignored = ERR_INIT;

	for (size_t i = 0; i < n; i += SECTOR)
		if (!stays(c, at + i))
			memset(bytes + i, 0, SECTOR);
	return file_write_at(u->file, at, bytes, (size_t)MIN(c->end - at, n), &ignored) ==
	       0;
}

static bool chunk_is_zero(struct fault_undo *u, uint64_t at, uint8_t *bytes, size_t n,
			  void *arg)
{
	size_t old = (size_t)(at < u->size ? MIN(u->size - at, n) : 0);

	return bytes_are_zero(bytes + old, n - old);
}

void undo_crash(struct fault_undo *u, const struct fault_plan *p)
{
	struct chances c = { .seed = p->seed,
			     .mixed = mix(mix(mix(mix(p->seed) ^ p->op) ^ p->nr) ^ u->nr) };
	struct err ignored = ERR_INIT;
	uint64_t whole = UINT64_MAX;

	if (!u->file || u->lost_track || !length_learn(u, &c.end))
		return;
	if (c.end < u->size && !stays(&c, THE_LENGTH)) {
		whole = align_down(c.end, SECTOR);
		if (file_truncate(u->file, u->size, &ignored) < 0)
			return;
		c.end = u->size;
	}
	if (!kept_put_back(u, &c, whole, &ignored) || c.end <= u->size ||
	    !data_visit(u, align_up(u->size, SECTOR), c.end, chunk_lose, &c))
		return;
	if (!stays(&c, THE_LENGTH) && data_visit(u, u->size, c.end, chunk_is_zero, NULL) &&
	    file_truncate(u->file, u->size, &ignored) < 0)
		return; /* it keeps its length */
}
