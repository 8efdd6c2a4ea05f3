#pragma once
#include <stdint.h>

/* Every bound that we enforce on what an image says, with its reason, in one place. "Format"
 * bounds follow from the width of a field; "practice" bounds are what other users of the
 * format enforce, and they keep the memory that a hostile image can claim small. Section
 * numbers are those of the format description. */

#define QCOW2_MAGIC 0x514649fbU /* "QFI" 0xfb */

#define CLUSTER_BITS_MIN	  9  /* practice (1.3) */
#define CLUSTER_BITS_MAX	  21 /* practice */
#define CLUSTER_BITS_MIN_EXTENDED 14 /* format: a subcluster is a sector at least */
#define CLUSTER_SIZE_MAX	  (UINT64_C(1) << CLUSTER_BITS_MAX)
#define REFCOUNT_ORDER_MAX	  6 /* format: counts of 1..64 bits */

#define HEADER_LENGTH_V2      72
#define HEADER_LENGTH_V3_MIN  104
#define HEADER_LENGTH_CURRENT 112 /* what we write */

#define L1_BYTES_MAX	       (UINT64_C(32) << 20) /* practice: 4 Mi entries */
#define REFCOUNT_TABLE_BYTES_MAX (UINT64_C(8) << 20) /* practice: 1 Mi entries */
#define HOST_OFFSET_MAX	       ((UINT64_C(1) << 56) - 1) /* format: L1 and L2 entries */
#define FILE_OFFSET_MAX	       ((uint64_t)INT64_MAX)	 /* both: offset + length of a table */
#define CHECK_CLUSTERS_MAX     (UINT64_C(1) << 31)	 /* practice: host clusters in a check */

#define SNAPSHOTS_MAX		 65536		      /* practice */
#define SNAPSHOT_TABLE_BYTES_MAX (UINT64_C(64) << 20) /* practice */
#define SNAPSHOT_EXTRA_MAX	 1024		      /* practice */
#define SNAPSHOT_EXTRA_V3_MIN	 16		      /* format: version 3 (8.1) */
#define SNAPSHOT_EXTRA_CURRENT	 24

#define BITMAPS_MAX		  65535
#define BITMAP_DIRECTORY_BYTES_MAX (UINT64_C(1024) * BITMAPS_MAX)
#define BITMAP_NAME_MAX		  1023
#define BITMAP_GRANULARITY_MIN	  9
#define BITMAP_GRANULARITY_MAX	  31
#define BITMAP_TABLE_ENTRIES_MAX  0x8000000
#define BITMAP_BYTES_MAX	  0x20000000

#define BACKING_NAME_MAX   1023
#define BACKING_FORMAT_MAX 15
#define CHAIN_DEPTH_MAX	   200

#define LUKS_HEADER_BYTES    592
#define LUKS_SLOTS	     8
#define LUKS_DIGEST_BYTES    20
#define LUKS_STRIPES	     4000
#define LUKS_KEY_BYTES_MAX   64 /* AES-256 in XTS mode; more than any cipher needs */
#define LUKS_ITERATIONS_MIN  1000 /* what is written */
#define LUKS_ITERATIONS_MAX  (UINT32_C(1) << 28) /* of one field */
/* What trying a passphrase may take (20.1), in digests of SHA-256: on one key slot, and on all of them.
 * A machine with instructions for SHA does some 8 to 25 million in a second. Who makes a slot takes
 * 2 s on his, and an eighth of that for the master key: eight such slots of the fastest are within
 * bounds. */
#define LUKS_SLOT_WORK_MAX UINT64_C(200000000)
#define LUKS_WORK_MAX	   UINT64_C(500000000)
#define LUKS_FIRST_KEY_SECTOR 8

#define SECTOR_SIZE 512
#define SUBCLUSTERS 32
