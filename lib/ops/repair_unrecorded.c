/* Bitmaps that are enabled promise to record each change of the disk (9.4). A repair
 * records none, so before the first one they are marked as in use, as a writer does that
 * goes away: nobody believes them from then on. A crash in between leaves them marked for
 * nothing. Those that are disabled speak of an earlier time, and stay. */
#include "ops/repair_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "format/bitmap_entry.h"

#define FLAGS_AT 12

struct directory {
	struct repair *repair;
	uint8_t *bytes;
	size_t n;
	uint32_t nr;                    /* bitmaps that record, and did up to now */
	char name[UNRECORDED_NAME_MAX]; /* of the first one, escaped */
};

/* Whether the directory's clusters are nobody else's, so that it can be changed where it
 * is. */
static bool is_alone(const struct directory *d)
{
	const struct repair *r = d->repair;
	uint64_t off = r->header.bitmaps.directory_off;
	uint64_t end = geom_clusters(&r->geom, off + d->n);

	for (uint64_t i = check_cluster(&r->check, off); i < end; i++)
		if (!repair_may_edit(r, i << r->geom.cluster_bits, WALK_BITMAP_DIRECTORY))
			return false;
	return true;
}

static int flags_mark(struct directory *d, size_t at, const struct bitmap_entry *x,
		      struct err *e)
{
	uint8_t bytes[4];

	be32_put(bytes, x->flags | BITMAP_IN_USE);
	return repair_write(d->repair,
			    d->repair->header.bitmaps.directory_off + at + FLAGS_AT, bytes,
			    sizeof bytes, e);
}

/* Those that record: counted, or marked. What is no entry is nobody's bitmap, and is
 * dropped later; so are all that follow one whose end is not known. */
static int entries_go(struct directory *d, bool mark, struct err *e)
{
	size_t pos = 0;

	for (uint32_t i = 0; i < d->repair->header.bitmaps.nr && pos < d->n; i++) {
		struct rd rd = rd_over(d->bytes + pos, d->n - pos);
		struct err why = ERR_INIT;
		struct bitmap_entry x;
		bool sound = bitmap_entry_decode(&rd, &x, &why) == 0;

		if (rd.failed)
			break;
		if (sound && repair_bitmap_records(&x)) {
			if (!mark && !d->nr++)
				text_escape(x.name.p, x.name.n, d->name, sizeof d->name);
			if (mark && flags_mark(d, pos, &x, e) < 0)
				return -1;
		}
		pos += rd.pos;
	}
	return 0;
}

void repair_unrecorded_told(struct repair *r, uint32_t nr, const char *first)
{
	char who[UNRECORDED_NAME_MAX + 64];

	if (nr == 1)
		snprintf(who, sizeof who, "bitmap \"%s\" is", first);
	else
		snprintf(who, sizeof who, "%" PRIu32 " bitmaps, \"%s\" first, are", nr,
			 first);
	repair_say(
		r,
		"%s marked as inconsistent: the repair changes what the disk reads; "
		"qcow2-bitmap --as-full makes up for it, at the price of a full copy next time",
		who);
}

/* Where the directory can't be changed, no bitmap of it is in force any more. */
static int bitmaps_withdraw(struct repair *r, struct err *e)
{
	repair_say(
		r,
		"all bitmaps are void: the repair changes what the disk reads, and something else "
		"lies on their directory");
	r->header.autoclear_features &= ~AUTOCLEAR_BITMAPS;
	return repair_header(r, HEADER_FEATURES, e);
}

static int directory_mark(struct repair *r, struct err *e)
{
	const struct bitmaps_ext *x = &r->header.bitmaps;
	struct directory d = { .repair = r, .n = x->directory_len };
	AUTO_FREE uint8_t *bytes = malloc(d.n);

	d.bytes = bytes;
	if (!bytes)
		return err_nomem(e);
	if (file_read_padded(r->file, x->directory_off, bytes, d.n, NULL, e) < 0 ||
	    entries_go(&d, false, e) < 0)
		return -1;
	if (!d.nr)
		return 0;
	if (!is_alone(&d))
		return bitmaps_withdraw(r, e);
	repair_unrecorded_told(r, d.nr, d.name);
	if (entries_go(&d, true, e) < 0)
		return -1;
	return repair_flush(r, e);
}

int repair_disk_changes(struct repair *r, struct err *e)
{
	const struct header *h = &r->header;
	bool marking = r->marking;
	int ret = 0;

	if (r->unrecorded)
		return 0;
	r->unrecorded = true;
	/* A directory that is not in the file is dropped, with all that it named. */
	if (!h->has_bitmaps_ext || !(h->autoclear_features & AUTOCLEAR_BITMAPS) ||
	    !walk_in_file(r->check.walk, h->bitmaps.directory_off,
			  h->bitmaps.directory_len))
		return 0;
	r->marking = true; /* nothing that tells of lost data goes with this */
	ret = directory_mark(r, e);
	r->marking = marking;
	return ret;
}
