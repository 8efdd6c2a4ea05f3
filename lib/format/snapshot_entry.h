#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* Entry of the snapshot table (8.1), variable length, each beginning at a multiple of 8. */
struct snapshot_entry {
	uint64_t l1_off;       /* NOT checked: see snapshot_l1_check() */
	uint32_t l1_nr;	       /* entries */
	uint32_t date_sec, date_nsec;
	uint64_t vm_clock_nsec;
	uint64_t vm_state_len; /* bytes; from the extra data where that has it */
	uint64_t disk_size;    /* bytes, NOT checked; valid if has_disk_size */
	uint64_t icount;       /* valid if has_icount and not all ones */
	bool has_disk_size, has_icount;
	struct bytes extra;	    /* all extra data as stored */
	struct bytes extra_unknown; /* its bytes from 24 on, kept verbatim */
	struct bytes id, name;	    /* not terminated, not to be trusted */
};

/* The cursor must be over the whole table; leading padding to a multiple of 8 is skipped.
 * ERR_CORRUPT when the entry runs past the end or its extra data is larger than
 * SNAPSHOT_EXTRA_MAX. Bytes point into the cursor's buffer. Whether extra data is long
 * enough for the version is for the caller (a check reports it, a reader goes on). */
int snapshot_entry_decode(struct rd *r, struct snapshot_entry *s, struct err *e) MUST_CHECK;
/* Writes leading padding and the entry, with 24 bytes of extra data or more: known fields
 * from the struct (all ones without has_icount), extra_unknown behind them. Without
 * has_disk_size only the VM state's size is written, 8 bytes: version 2 alone allows that. */
void snapshot_entry_encode(struct wr *w, const struct snapshot_entry *s);
/* Bytes that snapshot_entry_encode() writes for it at cursor position pos. */
uint64_t snapshot_entry_len(const struct snapshot_entry *s, uint64_t pos);

/* Bytes that the entry takes in the table that it was decoded from, at position pos. */
uint64_t snapshot_entry_stored_len(const struct snapshot_entry *s, uint64_t pos);

/* Offset and size of a snapshot's L1 table against (1.3): aligned, at most L1_BYTES_MAX, end
 * below 2^63. To be asked before each use (8.2). */
int snapshot_l1_check(const struct snapshot_entry *s, unsigned cluster_bits, struct err *e)
	MUST_CHECK;
