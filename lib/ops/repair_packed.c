/* Entries that say they lead to compressed data. */
#include "ops/repair_l2_internal.h"

#include "base/align.h"

/* The stream of an entry that begins in the file and ends behind it may well be shorter
 * than it says. */
static bool packed_cut(struct repair_entry *n)
{
	const struct check *c = &n->repair->check;
	uint64_t end = c->clusters << c->geom->cluster_bits;
	unsigned offset_bits = 70u - c->geom->cluster_bits;

	if (n->x.host >= end)
		return false;
	uint64_t first = n->x.host / SECTOR_SIZE, last = (end - 1) / SECTOR_SIZE;
	uint64_t extra = MIN(last - first, geom_cluster_size(c->geom) / SECTOR_SIZE);

	n->raw = (n->raw & (ENTRY_COPIED | ENTRY_COMPRESSED)) | extra << offset_bits |
		 n->x.host;
	return true;
}

/* With a data file every cluster has its place: an entry that is right but for the flag
 * that says "compressed" leads there. */
static void packed_in_data_file(struct repair_entry *n)
{
	const struct geom *g = &n->repair->geom;
	bool raw_file = n->repair->header.autoclear_features & AUTOCLEAR_DATA_FILE_RAW;
	uint64_t plain = n->x.raw & ~ENTRY_COMPRESSED;
	bool right = raw_file || plain == (n->guest | ENTRY_COPIED);

	entry_told(n, PROBLEM_COMPRESSED_DATA_FILE,
		   right ? "the entry leads to its place" : entry_dropped(n));
	if (!right) {
		entry_drop(n);
		return;
	}
	n->raw = n->guest | ENTRY_COPIED;
	n->bitmap = g->subclusters ? L2_ALL_ALLOCATED : 0;
}

/* COPIED is never set for compressed data. An entry that makes a sound one without the
 * other flag, for a cluster that has no other owner, is of a plain cluster if what lies
 * there can't be unpacked. */
static bool is_plain_cluster(const struct repair_entry *n)
{
	uint64_t plain = n->x.raw & ~(ENTRY_COMPRESSED | ENTRY_COPIED);

	return !geom_in_cluster(&n->repair->geom, plain) && !(plain & ~ENTRY_OFFSET_MASK) &&
	       n->at->active_times && repair_is_counted(n->repair, plain) && !check_unpacks(&n->repair->check, n->x.host, n->x.host_len);
}

void repair_packed_entry(struct repair_entry *n)
{
	const struct check *c = &n->repair->check;

	if (c->geom->data_file) {
		packed_in_data_file(n);
		return;
	}
	if (n->x.raw == ENTRY_COMPRESSED) {
		/* Nothing was ever written there: it is the flag that is wrong. */
		entry_told(n, PROBLEM_COMPRESSED_OFFSET,
			   "the flag that says \"compressed\" is cleared");
		n->raw = 0;
		return;
	}
	if (l2_packed_offset_bad(c->geom, n->x.host)) {
		entry_told(n, PROBLEM_COMPRESSED_OFFSET, entry_dropped(n));
		entry_drop(n);
		return;
	}
	if (n->x.copied && is_plain_cluster(n)) {
		entry_told(n, PROBLEM_COPIED_COMPRESSED,
			   "the flag that says \"compressed\" is cleared");
		n->raw &= ~ENTRY_COMPRESSED;
		return;
	}
	if (!walk_in_file(c->walk, n->x.host, n->x.host_len)) {
		bool cut = packed_cut(n);

		entry_told(n, PROBLEM_COMPRESSED_OUT_OF_FILE,
			   cut ? "the length is cut" : entry_dropped(n));
		if (!cut) {
			entry_drop(n);
			return;
		}
	}
	if (n->x.copied) {
		entry_told(n, PROBLEM_COPIED_COMPRESSED, NULL);
		n->raw &= ~ENTRY_COPIED;
	}
	if (n->bitmap) {
		entry_told(n, PROBLEM_COMPRESSED_BITMAP, NULL);
		n->bitmap = 0;
	}
}
