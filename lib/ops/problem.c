#include "ops/problem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

#define ROW(name, word, cls, level, step, words) \
	[PROBLEM_##name] = { word, PROBLEM_##cls, words, REPAIRED_##level, step }

const struct problem problem_table[PROBLEM_KINDS] = {
	ROW(LEAKED_CLUSTER, "leaked-cluster", LEAK, LEAKS,
	    "the count is lowered, unless the cluster may be data of something that "
	    "could not be read",
	    "refcount is higher than the number of references"),
	ROW(REFCOUNT_TOO_LOW, "refcount-too-low", CORRUPTION, ALL,
	    "the count is raised; of two owners that are not meant to share, one "
	    "gets a copy",
	    "refcount is lower than the number of references"),
	ROW(REFCOUNT_ZERO, "refcount-zero", CORRUPTION, ALL,
	    "the count is raised; of two owners that are not meant to share, one "
	    "gets a copy",
	    "cluster is in use but counted as free"),
	ROW(REFCOUNT_OVERFLOW, "refcount-overflow", CORRUPTION, ALL,
	    "refcounts get a wider format, as far as the version of the image has one",
	    "more references than the refcount width can hold"),
	ROW(COPIED_L2_TABLE, "copied-l2-table", CORRUPTION, LEAKS,
	    "the flag is set or cleared as the count says",
	    "OFLAG_COPIED L2 cluster"),
	ROW(COPIED_DATA, "copied-data", CORRUPTION, LEAKS,
	    "the flag is set or cleared as the count says",
	    "OFLAG_COPIED data cluster"),
	ROW(COPIED_COMPRESSED, "copied-compressed", CORRUPTION, ALL,
	    "the flag is cleared; if the cluster is a plain one, the other flag",
	    "COPIED flag on a compressed cluster"),
	ROW(COPIED_UNALLOCATED, "copied-unallocated", CORRUPTION, ALL,
	    "the flag is cleared",
	    "COPIED flag on an entry without a cluster"),
	ROW(COPIED_NO_L2_TABLE, "copied-no-l2-table", CORRUPTION, ALL,
	    "the flag is cleared",
	    "COPIED flag on an L1 entry without an L2 table"),
	ROW(CROSS_LINK, "cross-link", CORRUPTION, ALL,
	    "the guest data gets a copy of the cluster; a refcount structure is "
	    "built anew elsewhere",
	    "guest data lies on metadata"),
	ROW(METADATA_OVERLAP, "metadata-overlap", CORRUPTION, ALL,
	    "a refcount structure is built anew elsewhere; counts are raised for others",
	    "metadata structures overlap"),
	ROW(L1_ENTRY_RESERVED, "l1-entry-reserved", CORRUPTION, ALL,
	    "the bits are cleared",
	    "L1 entry has reserved bits set"),
	ROW(L1_ENTRY_UNALIGNED, "l1-entry-unaligned", CORRUPTION, ALL,
	    "the low bits are cleared if that leads to a table that nobody else has, or "
	    "that is counted for this entry, too; else the entry is dropped, and zeros or "
	    "what the backing file has are read there",
	    "L2 table is not cluster aligned"),
	ROW(L1_ENTRY_OUT_OF_FILE, "l1-entry-out-of-file", CORRUPTION, ALL,
	    "the entry is dropped, and zeros or what the backing file has are read there",
	    "L2 table lies outside the file"),
	ROW(L1_TABLE_OUT_OF_FILE, "l1-table-out-of-file", CORRUPTION, NONE,
	    NULL,
	    "L1 table lies outside the file"),
	ROW(L2_TABLE_FOREIGN, "l2-table-foreign", CORRUPTION, ALL,
	    "the L1 entries that lead to it lead to an empty table instead, so that zeros "
	    "or what the backing file has are read there; with a raw data file, to a table of "
	    "all its clusters",
	    "L2 table holds something else"),
	ROW(L2_TABLE_TWICE, "l2-table-twice", CORRUPTION, ALL,
	    "one of them gets a copy",
	    "two L1 entries of one disk lead to the same L2 table"),
	ROW(L2_ENTRY_RESERVED, "l2-entry-reserved", CORRUPTION, ALL,
	    "the bits are cleared",
	    "L2 entry has reserved bits set"),
	ROW(L2_ENTRY_ZERO_V2, "l2-entry-zero-v2", CORRUPTION, ALL,
	    "the flag is cleared",
	    "zero flag in a version 2 image"),
	ROW(L2_ENTRY_UNALIGNED, "l2-entry-unaligned", CORRUPTION, ALL,
	    "the low bits are cleared if that leads to a cluster that nobody else "
	    "has, or that is counted for this entry, too; else the entry becomes zeros",
	    "data cluster is not cluster aligned"),
	ROW(L2_ENTRY_UNALIGNED_ZERO, "l2-entry-unaligned-zero", CORRUPTION, ALL,
	    "the entry becomes zeros",
	    "cluster kept behind zeroes is not cluster aligned"),
	ROW(L2_ENTRY_OUT_OF_FILE, "l2-entry-out-of-file", CORRUPTION, ALL,
	    "the entry becomes zeros",
	    "data cluster lies outside the file"),
	ROW(COMPRESSED_OFFSET, "compressed-offset", CORRUPTION, ALL,
	    "the flag is cleared if there is nothing else; else the entry becomes zeros",
	    "compressed cluster where none can be, beyond the largest offset or on the header"),
	ROW(COMPRESSED_OUT_OF_FILE, "compressed-out-of-file", CORRUPTION, ALL,
	    "the length is cut to the end of the file if it begins in it; else the "
	    "entry becomes zeros",
	    "compressed cluster lies outside the file"),
	ROW(COMPRESSED_DATA_FILE, "compressed-data-file", CORRUPTION, ALL,
	    "the entry leads to its place in the data file if it is the flag that is "
	    "wrong; else it becomes zeros",
	    "compressed cluster in an image with an external data file"),
	ROW(COMPRESSED_BITMAP, "compressed-bitmap", CORRUPTION, ALL,
	    "the bitmap is cleared",
	    "compressed cluster has a subcluster bitmap"),
	ROW(COMPRESSED_DATA, "compressed-data", CORRUPTION, NONE, NULL,
	    "compressed cluster can't be unpacked"),
	ROW(SUBCLUSTER_BOTH, "subcluster-both", CORRUPTION, ALL,
	    "the zero bits are cleared, the data stays",
	    "subcluster is both allocated and zero"),
	ROW(SUBCLUSTER_NO_CLUSTER, "subcluster-no-cluster", CORRUPTION, ALL,
	    "the bits that say allocated are cleared; with a data file, the entry leads to its place",
	    "allocated subclusters without a cluster"),
	ROW(DATA_FILE_OFFSET, "data-file-offset", CORRUPTION, ALL,
	    "the entry leads to its place in the data file",
	    "offset in the data file differs from the guest offset"),
	ROW(DATA_FILE_SHORT, "data-file-short", CORRUPTION, NONE, NULL,
	    "data file ends before data that the image has in it"),
	ROW(REFCOUNT_TABLE_EMPTY, "refcount-table-empty", CORRUPTION, ALL,
	    "refcounts are built anew",
	    "refcount table has no clusters"),
	ROW(REFCOUNT_TABLE_OUT_OF_FILE, "refcount-table-out-of-file", CORRUPTION, ALL,
	    "refcounts are built anew",
	    "refcount table lies outside the file"),
	ROW(REFCOUNT_ENTRY_RESERVED, "refcount-entry-reserved", CORRUPTION, ALL,
	    "refcounts are built anew",
	    "refcount table entry has reserved bits set"),
	ROW(REFCOUNT_BLOCK_UNALIGNED, "refcount-block-unaligned", CORRUPTION, ALL,
	    "refcounts are built anew",
	    "refcount block is not cluster aligned"),
	ROW(REFCOUNT_BLOCK_OUT_OF_FILE, "refcount-block-out-of-file", CORRUPTION, ALL,
	    "refcounts are built anew",
	    "refcount block lies outside the file"),
	ROW(SNAPSHOT_COUNT, "snapshot-count", CHECK_ERROR, ALL,
	    "the table is cut to 65536 snapshots",
	    "more snapshots than there may be"),
	ROW(SNAPSHOT_TABLE_UNALIGNED, "snapshot-table-unaligned", CHECK_ERROR, ALL,
	    "with --drop-snapshots, or if there is none, there are no snapshots any more",
	    "snapshot table is not cluster aligned"),
	ROW(SNAPSHOT_TABLE_OUT_OF_FILE, "snapshot-table-out-of-file", CORRUPTION, ALL,
	    "the length of a name is set to what is there, if the table begins in the "
	    "file and all snapshots are found; else those that are not found are dropped "
	    "with --drop-snapshots",
	    "snapshot table lies outside the file"),
	ROW(SNAPSHOT_TABLE_SIZE, "snapshot-table-size", CHECK_ERROR, ALL,
	    "that snapshot and those behind it are dropped",
	    "snapshot table is too large"),
	ROW(SNAPSHOT_EXTRA_LARGE, "snapshot-extra-large", CHECK_ERROR, ALL,
	    "the extra data is cut to 1024 bytes",
	    "snapshot entry has too much extra data"),
	ROW(SNAPSHOT_EXTRA_SHORT, "snapshot-extra-short", CORRUPTION, ALL,
	    "the extra data is completed, with the present size of the disk",
	    "snapshot entry has too little extra data"),
	ROW(SNAPSHOT_NAME, "snapshot-name", CORRUPTION, ALL,
	    "the name is cut there, unless it is the id that is too long",
	    "snapshot name has a zero byte: it is too long, or damaged"),
	ROW(SNAPSHOT_L1_UNALIGNED, "snapshot-l1-unaligned", CORRUPTION, ALL,
	    "with --drop-snapshots, the snapshot is dropped",
	    "snapshot L1 table is not cluster aligned"),
	ROW(SNAPSHOT_L1_SIZE, "snapshot-l1-size", CORRUPTION, ALL,
	    "with --drop-snapshots, the snapshot is dropped",
	    "snapshot L1 table is too large"),
	ROW(SNAPSHOT_L1_OUT_OF_FILE, "snapshot-l1-out-of-file", CORRUPTION, ALL,
	    "with --drop-snapshots, the snapshot is dropped",
	    "snapshot L1 table lies outside the file"),
	ROW(SNAPSHOT_L1_OVERLAP, "snapshot-l1-overlap", CORRUPTION, ALL,
	    "the disk gets a copy of its L1 table if it is that; else, with "
	    "--drop-snapshots, the snapshot is dropped",
	    "snapshot L1 table lies on another structure"),
	ROW(SNAPSHOT_L1_LONG, "snapshot-l1-long", CORRUPTION, ALL,
	    "the number is cut to what the disk and the VM state of the snapshot take",
	    "snapshot claims more L1 entries than it needs, and they are none"),
	ROW(SNAPSHOT_DATA_FILE, "snapshot-data-file", CORRUPTION, NONE,
	    NULL,
	    "snapshots in an image with an external data file"),
	ROW(BITMAPS_MISSING, "bitmaps-missing", CORRUPTION, ALL,
	    "the autoclear bit is cleared",
	    "autoclear bit promises bitmaps, but there is no bitmaps extension"),
	ROW(BITMAP_DIRECTORY_OUT_OF_FILE, "bitmap-directory-out-of-file", CORRUPTION, ALL,
	    "all bitmaps are dropped",
	    "bitmap directory lies outside the file"),
	ROW(BITMAP_ENTRY, "bitmap-entry", CORRUPTION, ALL,
	    "the bitmap is dropped, or all from it on if its end is not known",
	    "bitmap directory is broken"),
	ROW(BITMAP_FLAGS, "bitmap-flags", CORRUPTION, ALL,
	    "the flags are cleared, and the bitmap is marked as inconsistent",
	    "bitmap has unknown flags"),
	ROW(BITMAP_NAME, "bitmap-name", CORRUPTION, ALL,
	    "the later one is dropped",
	    "two bitmaps have the same name"),
	ROW(BITMAP_TABLE_UNALIGNED, "bitmap-table-unaligned", CORRUPTION, ALL,
	    "the bitmap is dropped",
	    "bitmap table is not cluster aligned"),
	ROW(BITMAP_TABLE_OUT_OF_FILE, "bitmap-table-out-of-file", CORRUPTION, ALL,
	    "the bitmap is dropped",
	    "bitmap table lies outside the file"),
	ROW(BITMAP_TABLE_SIZE, "bitmap-table-size", CORRUPTION, ALL,
	    "the bitmap is dropped",
	    "bitmap table is too large"),
	ROW(BITMAP_TABLE_SHORT, "bitmap-table-short", CORRUPTION, ALL,
	    "the bitmap is marked as inconsistent",
	    "bitmap table is too small for the disk"),
	ROW(BITMAP_TABLE_LONG, "bitmap-table-long", CORRUPTION, ALL,
	    "the bitmap is marked as inconsistent",
	    "bitmap table has more entries than the disk takes"),
	ROW(BITMAP_ENTRY_RESERVED, "bitmap-entry-reserved", CORRUPTION, ALL,
	    "the bits are cleared",
	    "bitmap table entry has reserved bits set"),
	ROW(BITMAP_DATA_UNALIGNED, "bitmap-data-unaligned", CORRUPTION, ALL,
	    "what the entry is for counts as dirty",
	    "bitmap data is not cluster aligned"),
	ROW(BITMAP_DATA_OUT_OF_FILE, "bitmap-data-out-of-file", CORRUPTION, ALL,
	    "what the entry is for counts as dirty",
	    "bitmap data lies outside the file"),
	ROW(EXTENSION_END, "extension-end", CORRUPTION, ALL,
	    "the header is written anew",
	    "end of the header extensions claims to have data behind the header"),
	ROW(CRYPTO_HEADER_OUT_OF_FILE, "crypto-header-out-of-file", CORRUPTION, NONE,
	    NULL,
	    "crypto header lies outside the file"),
	ROW(CRYPTO_HEADER_DAMAGED, "crypto-header-damaged", CORRUPTION, NONE,
	    NULL,
	    "crypto header can't be used"),
	ROW(READ_FAILED, "read-failed", CHECK_ERROR, NONE,
	    NULL,
	    "can't be read"),
	ROW(HEADER_LENGTH_ODD, "header-length-odd", NOTE, NONE, NULL,
	    "length of the header is not a multiple of 8"),
	ROW(HEADER_PADDING, "header-padding", NOTE, NONE, NULL,
	    "unused bytes of the header are not zero"),
	ROW(DISK_SIZE_ODD, "disk-size-odd", NOTE, NONE, NULL,
	    "size of the disk is not a multiple of 512 bytes"),
	ROW(EXTENSION_TWICE, "extension-twice", NOTE, NONE, NULL,
	    "header extension is there twice, and the last one counts"),
	ROW(AUTOCLEAR_UNKNOWN, "autoclear-unknown", NOTE, NONE, NULL,
	    "unknown autoclear bits are set"),
	ROW(BITMAPS_VOID, "bitmaps-void", NOTE, NONE, NULL,
	    "bitmaps were left behind by a writer that did not keep them up"),
	ROW(DATA_FILE_UNUSED, "data-file-unused", NOTE, NONE, NULL,
	    "an external data file is named, but the image has none"),
	ROW(FILE_TOO_SHORT, "file-too-short", NOTE, NONE, NULL,
	    "the file ends before clusters that its tables refer to"),
	ROW(SNAPSHOT_UNCOUNTED, "snapshot-uncounted", NOTE, NONE, NULL,
	    "there is one more snapshot in the table than the header counts"),
};

/* A text that grows piece by piece and stops at the end of its buffer. */
struct line {
	char *buf;
	size_t used;
};

static void line_add(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line_add(struct line *l, const char *fmt, ...)
{
	va_list args;
	size_t room = FINDING_TEXT_MAX - l->used;

	va_start(args, fmt);
	int n = vsnprintf(l->buf + l->used, room, fmt, args);
	va_end(args);
	if (n > 0)
		l->used += (size_t)n < room ? (size_t)n : room - 1;
}

static void line_add_owner(struct line *l, const struct finding *f)
{
	char id[48];

	switch (f->owner) {
	case FINDING_ACTIVE:
		line_add(l, ", active disk");
		break;
	case FINDING_SNAPSHOT:
		if (f->owner_id)
			line_add(l, ", snapshot \"%s\"",
				 text_escape(f->owner_id, strlen(f->owner_id), id, sizeof id));
		else
			line_add(l, ", snapshot number %" PRIu32, f->owner_idx + 1);
		break;
	case FINDING_BITMAP:
		line_add(l, ", bitmap number %" PRIu32, f->owner_idx + 1);
		break;
	case FINDING_IMAGE:
		break;
	}
}

/* The texts that scripts know. */
static bool known_text(struct line *l, const struct finding *f)
{
	switch (f->kind) {
	case PROBLEM_LEAKED_CLUSTER:
	case PROBLEM_REFCOUNT_TOO_LOW:
	case PROBLEM_REFCOUNT_ZERO:
		line_add(l,
			 "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
			 f->kind == PROBLEM_LEAKED_CLUSTER ? "Leaked" : "ERROR", f->cluster,
			 f->refcount, f->references);
		return true;
	case PROBLEM_COPIED_L2_TABLE:
		line_add(l,
			 "ERROR OFLAG_COPIED L2 cluster: l1_index=%" PRIu64
			 " l1_entry=%" PRIx64 " refcount=%" PRIu64,
			 f->idx, f->value, f->refcount);
		return true;
	case PROBLEM_COPIED_DATA:
		line_add(l,
			 "ERROR OFLAG_COPIED data cluster: l2_entry=%" PRIx64
			 " refcount=%" PRIu64,
			 f->value, f->refcount);
		return true;
	default:
		return false;
	}
}

char *finding_text(const struct finding *f, char buf[FINDING_TEXT_MAX])
{
	struct line l = { .buf = buf };

	buf[0] = '\0';
	if (known_text(&l, f))
		return buf;
	line_add(&l, "%s %s", problem_table[f->kind].class == PROBLEM_NOTE ? "Note:" : "ERROR",
		 problem_table[f->kind].text);
	if (f->has_host)
		line_add(&l, ": offset 0x%" PRIx64, f->host);
	if (f->has_value)
		line_add(&l, "%s value 0x%" PRIx64, f->has_host ? "," : ":", f->value);
	if (f->has_place)
		line_add(&l, " (stands at 0x%" PRIx64 ")", f->place);
	if (f->has_counts)
		line_add(&l,
			 ", cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
			 f->cluster, f->refcount, f->references);
	line_add_owner(&l, f);
	if (f->guest_len)
		line_add(&l, ", guest 0x%" PRIx64 "+0x%" PRIx64, f->guest, f->guest_len);
	if (f->text)
		line_add(&l, ": %s", f->text);
	return buf;
}

char *finding_text_repairing(const struct finding *f, const char *how,
			     char buf[FINDING_TEXT_MAX])
{
	struct line l = { .buf = buf };
	char text[FINDING_TEXT_MAX];

	finding_text(f, text);
	buf[0] = '\0';
	/* The word in front, "ERROR" or "Leaked", gives way. */
	line_add(&l, "Repairing%s", text + strcspn(text, " "));
	if (problem_table[f->kind].class == PROBLEM_LEAK || f->kind == PROBLEM_REFCOUNT_TOO_LOW ||
	    f->kind == PROBLEM_REFCOUNT_ZERO)
		how = f->text;
	if (how)
		line_add(&l, ": %s", how);
	return buf;
}
