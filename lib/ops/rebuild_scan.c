/* One pass over the file: what its sectors look like. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "ops/rebuild_internal.h"

#define SCAN_CHUNK  ((size_t)1 << 20)
#define LIST_MAX    ((size_t)1 << 20) /* of each kind */
#define WORDS	    (SECTOR_SIZE / 8)
#define ID_MAX	    127		      /* longer ones are not looked for */

static bool is_pointer(const struct rebuild_scan *s, uint64_t word)
{
	return !(word & L1_RESERVED_MASK) && (word & ENTRY_OFFSET_MASK) &&
	       (word & ENTRY_OFFSET_MASK) < s->size;
}

/* Pointers, zeros, and few others: damage must not hide a table. *plain: none says COPIED. */
static bool is_table(const struct rebuild_scan *s, const uint8_t *p, bool *plain)
{
	unsigned good = 0, bad = 0;

	*plain = true;
	for (unsigned i = 0; i < WORDS; i++) {
		uint64_t word = be64_get(p + 8 * i);

		if (!word)
			continue;
		if (is_pointer(s, word))
			good++;
		else if (++bad > WORDS / 8)
			return false;
		*plain &= !(word & ENTRY_COPIED);
	}
	return good && bad * 8 <= good;
}

static bool is_text(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
	return true;
}

/* The first entry of a snapshot table. */
static bool is_snapshot(const struct rebuild_scan *s, const uint8_t *p)
{
	uint64_t l1_off = be64_get(p);
	uint32_t l1_nr = be32_get(p + 8), extra = be32_get(p + 36);
	uint16_t id_len = be16_get(p + 12), name_len = be16_get(p + 14);
	size_t at = 40 + (size_t)extra, id_end = at + id_len;

	if (!l1_off || l1_off % SECTOR_SIZE || l1_off >= s->size || !l1_nr ||
	    l1_nr > L1_BYTES_MAX / 8 || !id_len || id_len > ID_MAX || name_len > 1023 ||
	    extra > SNAPSHOT_EXTRA_MAX || be32_get(p + 20) >= 1000000000)
		return false;
	return at >= SECTOR_SIZE || is_text(p + at, MIN(id_end, (size_t)SECTOR_SIZE) - at);
}

static int run_note(struct rebuild_scan *s, uint64_t off, struct err *e)
{
	if (s->run_nr && s->runs[s->run_nr - 1].end == off) {
		s->runs[s->run_nr - 1].end = off + SECTOR_SIZE;
		return 0;
	}
	if (s->run_nr == LIST_MAX)
		return 0;
	if (!vec_grow(&s->runs, s->run_nr, &s->run_room))
		return err_nomem(e);
	s->runs[s->run_nr++] = (struct rebuild_run){ off, off + SECTOR_SIZE };
	return 0;
}

static int sector_note(struct rebuild_scan *s, uint64_t off, const uint8_t *p, struct err *e)
{
	uint64_t first = be64_get(p);
	bool plain;

	if (rebuild_is_luks(p) && s->luks_nr < LIST_MAX) {
		if (!vec_grow(&s->luks, s->luks_nr, &s->luks_room))
			return err_nomem(e);
		s->luks[s->luks_nr++] = off;
	}
	if (is_snapshot(s, p) && s->snapshot_nr < LIST_MAX) {
		if (!vec_grow(&s->snapshots, s->snapshot_nr, &s->snapshot_room))
			return err_nomem(e);
		s->snapshots[s->snapshot_nr++] = off;
	}
	if (!is_table(s, p, &plain))
		return 0;
	if (plain && first && first % SECTOR_SIZE == 0 && first < s->size && first != off &&
	    s->refcount_nr < LIST_MAX) {
		if (!vec_grow(&s->refcounts, s->refcount_nr, &s->refcount_room))
			return err_nomem(e);
		s->refcounts[s->refcount_nr++] = (struct rebuild_pointer){ off, first };
	}
	return run_note(s, off, e);
}

static int chunk_scan(struct rebuild_scan *s, uint64_t off, const uint8_t *p, size_t n,
		      struct err *e)
{
	for (size_t at = 0; at < n; at += SECTOR_SIZE) {
		if (bytes_are_zero(p + at, SECTOR_SIZE))
			continue;
		s->filled += SECTOR_SIZE;
		if (sector_note(s, off + at, p + at, e) < 0)
			return -1;
	}
	return 0;
}

int rebuild_scan(struct rebuild_scan *s, uint64_t end, struct err *e)
{
	struct hole_map map = hole_map_over(s->file);
	AUTO_FREE uint8_t *buf = malloc(SCAN_CHUNK);
	uint64_t len;

	if (!buf)
		return err_nomem(e);
	for (end = MIN(end, s->size); s->done < end; s->done += len) {
		bool data;

		if (watch_stopped(s->watch, e) < 0)
			return -1;
		watch_progress(s->watch, s->done, s->size);
		hole_map_next(&map, s->done, end - s->done, &data, &len);
		/* Holes end at sectors; the end of the file need not. */
		len = data ? MIN(align_up(len, SECTOR_SIZE), SCAN_CHUNK)
			   : MAX(align_down(len, SECTOR_SIZE), SECTOR_SIZE);
		len = MIN(len, end - s->done);
		if (data && (file_read_padded(s->file, s->done, buf, (size_t)len, NULL, e) < 0 ||
			     chunk_scan(s, s->done, buf, (size_t)len, e) < 0))
			return -1;
	}
	return 0;
}

void rebuild_scan_fini(struct rebuild_scan *s)
{
	free(s->runs);
	free(s->refcounts);
	free(s->snapshots);
	free(s->luks);
}
