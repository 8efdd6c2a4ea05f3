/* Guest ranges in terms of partitions. */
#include "ops/impact.h"

#include <stdlib.h>

#include "base/align.h"
#include "base/secret.h"
#include "image/disk.h"

/* Snapshots beyond these are shown without partitions: each means opening the image again. */
#define DISKS_MAX 16

static int disk_bytes(void *arg, uint64_t off, void *buf, size_t n)
{
	struct err ignored = ERR_INIT;

	return disk_read(arg, off, buf, n, &ignored);
}

/* A disk whose owner has damage may well not open, or not be read: then there are none. */
static struct partitions owner_partitions(const struct impact_owner *o, const struct spec *s)
{
	struct partitions p = { 0 };
	struct disk_options how = { .snapshot_id = o->is_snapshot ? o->id : NULL };
	struct err ignored = ERR_INIT;
	struct disk *d = disk_open(s, &how, &ignored);
	struct disk_reader *r = d ? disk_reader_new(d, &ignored) : NULL;

	if (r)
		p = partitions_find(disk_bytes, r, disk_size(d));
	disk_reader_free(r);
	disk_close(d);
	return p;
}

void impact_find_partitions(struct impact *x, const struct spec *s)
{
	struct spec unlocked = *s;
	struct luks_key *key = NULL;

	/* The image is open and locked already, perhaps for writing. */
	unlocked.locking = LOCKING_OFF;
	/* It is one key for all of them, and getting it takes seconds. */
	if (!unlocked.master)
		unlocked.master = &key;
	for (size_t i = 0; i < x->owner_nr && i < DISKS_MAX; i++)
		if (x->owners[i].nr)
			x->owners[i].partitions = owner_partitions(&x->owners[i], &unlocked);
	secret_free(key);
}

struct impact_piece impact_piece(const struct impact_owner *o, const struct impact_range *r,
				 uint64_t guest)
{
	uint64_t end = r->guest + r->len;
	struct impact_piece piece = { .guest = guest, .len = end - guest };

	for (unsigned i = 0; i < o->partitions.nr; i++) {
		const struct partition *p = &o->partitions.list[i];

		if (p->start > guest) {
			piece.len = MIN(piece.len, p->start - guest);
		} else if (guest - p->start < p->len && !piece.partition) {
			piece.partition = p->number;
			piece.in_partition = guest - p->start;
			piece.len = MIN(piece.len, p->len - (guest - p->start));
		}
	}
	return piece;
}
