/* The snapshot table, found by its entries. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/vec.h"
#include "ops/rebuild_internal.h"

#define SNAPSHOT_FIRST ((size_t)256 << 10) /* bytes of a snapshot table that are read at first */

static bool is_plain(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] < 0x20 || b.p[i] == 0x7f)
			return false;
	return true;
}

static bool entry_is_plausible(struct rebuild_scan *s, struct rebuild_layout *l,
			       const struct snapshot_entry *x)
{
	return rebuild_in_file(s, l, x->l1_off) && x->l1_nr && x->l1_nr <= L1_BYTES_MAX / 8 &&
	       x->id.n && is_plain(x->id) && x->date_nsec < 1000000000 &&
	       rebuild_count(s, l, x->l1_off) != 0;
}

static int entry_take(struct rebuild_snapshots *t, const struct snapshot_entry *x, size_t *room,
		      struct err *e)
{
	if (!vec_grow(&t->l1_offs, t->nr, room))
		return err_nomem(e);
	t->l1_offs[t->nr++] = x->l1_off;
	t->short_extra |= x->extra.n < SNAPSHOT_EXTRA_V3_MIN;
	t->last_l1_nr = x->l1_nr;
	if (x->has_disk_size)
		t->disk_size = x->disk_size;
	return 0;
}

static int table_read(struct rebuild_scan *s, struct rebuild_layout *l, uint64_t off,
		      struct rebuild_snapshots *t, struct err *e)
{
	size_t n = SNAPSHOT_FIRST, room = 0;

	for (;; n *= 4) {
		AUTO_FREE uint8_t *bytes = malloc(n);
		struct snapshot_entry x;
		struct err ignored = ERR_INIT;

		if (!bytes)
			return err_nomem(e);
		if (file_read_padded(s->file, off, bytes, n, NULL, e) < 0)
			return -1;
		struct rd r = rd_over(bytes, n);

		free(t->l1_offs);
		*t = (struct rebuild_snapshots){ .off = off };
		room = 0;
		while (t->nr < SNAPSHOTS_MAX && snapshot_entry_decode(&r, &x, &ignored) == 0 &&
		       entry_is_plausible(s, l, &x))
			if (entry_take(t, &x, &room, e) < 0)
				return -1;
		if (!r.failed || n >= SNAPSHOT_TABLE_BYTES_MAX)
			return 0;
	}
}

int rebuild_snapshots(struct rebuild_scan *s, struct rebuild_layout *l, struct rebuild_snapshots *t,
		      struct err *e)
{
	*t = (struct rebuild_snapshots){ 0 };
	for (size_t i = 0; i < s->snapshot_nr; i++) {
		struct rebuild_snapshots x = { 0 };
		uint64_t off = s->snapshots[i];

		if (!rebuild_in_file(s, l, off) || rebuild_count(s, l, off) == 0)
			continue;
		if (table_read(s, l, off, &x, e) < 0) {
			free(x.l1_offs);
			return -1;
		}
		if (x.nr > t->nr) {
			free(t->l1_offs);
			*t = x;
		} else {
			free(x.l1_offs);
		}
	}
	return 0;
}
