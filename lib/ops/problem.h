#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything that can be wrong with an image that still opens: one table. Messages, the
 * kinds in JSON and the list in the manual come from it. */
enum problem_class {
	PROBLEM_LEAK,        /* wastes space, harms nothing */
	PROBLEM_CORRUPTION,  /* data may be lost or mixed up */
	PROBLEM_CHECK_ERROR, /* part of the image could not be looked at */
	PROBLEM_NOTE,	     /* odd, and good to know; harms nothing */
};

enum problem_kind {
	/* refcounts */
	PROBLEM_LEAKED_CLUSTER,
	PROBLEM_REFCOUNT_TOO_LOW,
	PROBLEM_REFCOUNT_ZERO,
	PROBLEM_REFCOUNT_OVERFLOW,
	/* the COPIED flag */
	PROBLEM_COPIED_L2_TABLE,
	PROBLEM_COPIED_DATA,
	PROBLEM_COPIED_COMPRESSED,
	PROBLEM_COPIED_UNALLOCATED,
	PROBLEM_COPIED_NO_L2_TABLE,
	/* two uses of one cluster */
	PROBLEM_CROSS_LINK,
	PROBLEM_METADATA_OVERLAP,
	/* L1 entries and tables */
	PROBLEM_L1_ENTRY_RESERVED,
	PROBLEM_L1_ENTRY_UNALIGNED,
	PROBLEM_L1_ENTRY_OUT_OF_FILE,
	PROBLEM_L1_TABLE_OUT_OF_FILE,
	PROBLEM_L2_TABLE_FOREIGN,
	PROBLEM_L2_TABLE_TWICE,
	/* L2 entries */
	PROBLEM_L2_ENTRY_RESERVED,
	PROBLEM_L2_ENTRY_ZERO_V2,
	PROBLEM_L2_ENTRY_UNALIGNED,
	PROBLEM_L2_ENTRY_UNALIGNED_ZERO,
	PROBLEM_L2_ENTRY_OUT_OF_FILE,
	PROBLEM_COMPRESSED_OFFSET,
	PROBLEM_COMPRESSED_OUT_OF_FILE,
	PROBLEM_COMPRESSED_DATA_FILE,
	PROBLEM_COMPRESSED_BITMAP,
	PROBLEM_COMPRESSED_DATA,
	PROBLEM_SUBCLUSTER_BOTH,
	PROBLEM_SUBCLUSTER_NO_CLUSTER,
	PROBLEM_DATA_FILE_OFFSET,
	PROBLEM_DATA_FILE_SHORT,
	/* refcount table and blocks */
	PROBLEM_REFCOUNT_TABLE_EMPTY,
	PROBLEM_REFCOUNT_TABLE_OUT_OF_FILE,
	PROBLEM_REFCOUNT_ENTRY_RESERVED,
	PROBLEM_REFCOUNT_BLOCK_UNALIGNED,
	PROBLEM_REFCOUNT_BLOCK_OUT_OF_FILE,
	/* snapshots */
	PROBLEM_SNAPSHOT_COUNT,
	PROBLEM_SNAPSHOT_TABLE_UNALIGNED,
	PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE,
	PROBLEM_SNAPSHOT_TABLE_SIZE,
	PROBLEM_SNAPSHOT_EXTRA_LARGE,
	PROBLEM_SNAPSHOT_EXTRA_SHORT,
	PROBLEM_SNAPSHOT_NAME,
	PROBLEM_SNAPSHOT_L1_UNALIGNED,
	PROBLEM_SNAPSHOT_L1_SIZE,
	PROBLEM_SNAPSHOT_L1_OUT_OF_FILE,
	PROBLEM_SNAPSHOT_L1_OVERLAP,
	PROBLEM_SNAPSHOT_L1_LONG,
	PROBLEM_SNAPSHOT_DATA_FILE,
	/* bitmaps */
	PROBLEM_BITMAPS_MISSING,
	PROBLEM_BITMAP_DIRECTORY_OUT_OF_FILE,
	PROBLEM_BITMAP_ENTRY,
	PROBLEM_BITMAP_FLAGS,
	PROBLEM_BITMAP_NAME,
	PROBLEM_BITMAP_TABLE_UNALIGNED,
	PROBLEM_BITMAP_TABLE_OUT_OF_FILE,
	PROBLEM_BITMAP_TABLE_SIZE,
	PROBLEM_BITMAP_TABLE_SHORT,
	PROBLEM_BITMAP_TABLE_LONG,
	PROBLEM_BITMAP_ENTRY_RESERVED,
	PROBLEM_BITMAP_DATA_UNALIGNED,
	PROBLEM_BITMAP_DATA_OUT_OF_FILE,
	/* the rest */
	PROBLEM_EXTENSION_END,
	PROBLEM_CRYPTO_HEADER_OUT_OF_FILE,
	PROBLEM_CRYPTO_HEADER_DAMAGED,
	PROBLEM_READ_FAILED,
	/* oddities */
	PROBLEM_HEADER_LENGTH_ODD,
	PROBLEM_HEADER_PADDING,
	PROBLEM_DISK_SIZE_ODD,
	PROBLEM_EXTENSION_TWICE,
	PROBLEM_AUTOCLEAR_UNKNOWN,
	PROBLEM_BITMAPS_VOID,
	PROBLEM_DATA_FILE_UNUSED,
	PROBLEM_FILE_TOO_SHORT,
	PROBLEM_SNAPSHOT_UNCOUNTED,
	PROBLEM_KINDS
};

/* What repairs it, if that is possible. */
enum problem_repair {
	REPAIRED_NONE,
	REPAIRED_LEAKS, /* both levels */
	REPAIRED_ALL,
};

struct problem {
	const char *kind; /* the word in JSON and in the manual */
	enum problem_class class;
	const char *text; /* what a person reads; for the first two classes of refcount
			   * mismatches, contract texts take its place */
	enum problem_repair repair;
	const char *step; /* what the repair does; NULL: there is none */
};

/* One row a kind, in the order of the enum. */
extern const struct problem problem_table[PROBLEM_KINDS];

enum finding_owner {
	FINDING_IMAGE,    /* nobody in particular */
	FINDING_ACTIVE,   /* the disk as it is now */
	FINDING_SNAPSHOT, /* see owner_id */
	FINDING_BITMAP,   /* see owner_idx */
};

/* One problem, found at one place. Strings live as long as the call that reports it. */
struct finding {
	enum problem_kind kind;
	uint64_t host;  /* byte offset in the image file of what is wrong: a cluster, or
			 * where a bad pointer leads; has_host */
	uint64_t place; /* byte offset of the entry or record that says so; has_place */
	uint64_t value; /* the entry as stored, or the number that is wrong; has_value */
	uint64_t guest,
	    guest_len; /* guest bytes that depend on it; guest_len 0: none known */
	enum finding_owner owner;
	uint32_t owner_idx;   /* of the snapshot or bitmap in its table */
	const char *owner_id; /* of the snapshot, not escaped; NULL if it is not known */
	uint64_t refcount;    /* as stored; has_counts */
	uint64_t references;  /* as counted; has_counts */
	uint64_t cluster;     /* host cluster number, has_counts */
	uint64_t idx;         /* of the entry in its table; L1 and L2 entries only */
	const char *text;     /* more words, or NULL */
	bool has_host, has_place, has_value, has_counts;
};

/* The line for stderr, without its newline. Returns buf. */
#define FINDING_TEXT_MAX 512
char *finding_text(const struct finding *f, char buf[FINDING_TEXT_MAX]);
/* The line that says that it is repaired, and how (NULL: nothing more is said). */
char *finding_text_repairing(const struct finding *f, const char *how,
			     char buf[FINDING_TEXT_MAX]);
