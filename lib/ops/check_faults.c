/* What the walk could not follow, as findings. */
#include "ops/check_internal.h"
#include "ops/impact_internal.h"

#include <stdio.h>

/* Refcount mismatches are no faults of the walk, so the first kind can stand for none. */
#define NONE PROBLEM_LEAKED_CLUSTER

static const uint8_t kinds[WALK_WHATS][WALK_BADS] = {
	[WALK_REFCOUNT_TABLE] = {
		[WALK_BAD_EMPTY] = PROBLEM_REFCOUNT_TABLE_EMPTY,
		[WALK_BAD_RANGE] = PROBLEM_REFCOUNT_TABLE_OUT_OF_FILE,
	},
	[WALK_REFCOUNT_BLOCK] = {
		[WALK_BAD_RESERVED] = PROBLEM_REFCOUNT_ENTRY_RESERVED,
		[WALK_BAD_ALIGNMENT] = PROBLEM_REFCOUNT_BLOCK_UNALIGNED,
		[WALK_BAD_RANGE] = PROBLEM_REFCOUNT_BLOCK_OUT_OF_FILE,
	},
	[WALK_CRYPTO_HEADER] = {
		[WALK_BAD_RANGE] = PROBLEM_CRYPTO_HEADER_OUT_OF_FILE,
	},
	[WALK_SNAPSHOT_TABLE] = {
		[WALK_BAD_ALIGNMENT] = PROBLEM_SNAPSHOT_TABLE_UNALIGNED,
		[WALK_BAD_RANGE] = PROBLEM_SNAPSHOT_TABLE_OUT_OF_FILE,
		[WALK_BAD_SIZE] = PROBLEM_SNAPSHOT_TABLE_SIZE,
		[WALK_BAD_COUNT] = PROBLEM_SNAPSHOT_COUNT,
		[WALK_BAD_EXTRA] = PROBLEM_SNAPSHOT_EXTRA_LARGE,
		[WALK_BAD_SHORT] = PROBLEM_SNAPSHOT_EXTRA_SHORT,
		[WALK_BAD_NAME] = PROBLEM_SNAPSHOT_NAME,
		[WALK_BAD_FORBIDDEN] = PROBLEM_SNAPSHOT_DATA_FILE,
	},
	[WALK_BITMAP_DIRECTORY] = {
		[WALK_BAD_MISSING] = PROBLEM_BITMAPS_MISSING,
		[WALK_BAD_RANGE] = PROBLEM_BITMAP_DIRECTORY_OUT_OF_FILE,
		[WALK_BAD_RECORD] = PROBLEM_BITMAP_ENTRY,
		[WALK_BAD_FLAGS] = PROBLEM_BITMAP_FLAGS,
		[WALK_BAD_NAME] = PROBLEM_BITMAP_NAME,
	},
	[WALK_BITMAP_TABLE] = {
		[WALK_BAD_ALIGNMENT] = PROBLEM_BITMAP_TABLE_UNALIGNED,
		[WALK_BAD_RANGE] = PROBLEM_BITMAP_TABLE_OUT_OF_FILE,
		[WALK_BAD_SIZE] = PROBLEM_BITMAP_TABLE_SIZE,
		[WALK_BAD_SHORT] = PROBLEM_BITMAP_TABLE_SHORT,
		[WALK_BAD_LONG] = PROBLEM_BITMAP_TABLE_LONG,
	},
	[WALK_BITMAP_DATA] = {
		[WALK_BAD_RESERVED] = PROBLEM_BITMAP_ENTRY_RESERVED,
		[WALK_BAD_ALIGNMENT] = PROBLEM_BITMAP_DATA_UNALIGNED,
		[WALK_BAD_RANGE] = PROBLEM_BITMAP_DATA_OUT_OF_FILE,
	},
	[WALK_L1_TABLE] = {
		[WALK_BAD_ALIGNMENT] = PROBLEM_SNAPSHOT_L1_UNALIGNED,
		[WALK_BAD_RANGE] = PROBLEM_L1_TABLE_OUT_OF_FILE,
		[WALK_BAD_SIZE] = PROBLEM_SNAPSHOT_L1_SIZE,
		[WALK_BAD_OVERLAP] = PROBLEM_SNAPSHOT_L1_OVERLAP,
		[WALK_BAD_LONG] = PROBLEM_SNAPSHOT_L1_LONG,
	},
	[WALK_L2_TABLE] = {
		[WALK_BAD_RESERVED] = PROBLEM_L1_ENTRY_RESERVED,
		[WALK_BAD_ALIGNMENT] = PROBLEM_L1_ENTRY_UNALIGNED,
		[WALK_BAD_RANGE] = PROBLEM_L1_ENTRY_OUT_OF_FILE,
		[WALK_BAD_OVERLAP] = PROBLEM_METADATA_OVERLAP,
	},
};

static enum problem_kind kind_of(const struct walk_fault *f)
{
	enum problem_kind kind =
	    f->bad == WALK_BAD_READ ? PROBLEM_READ_FAILED : kinds[f->what][f->bad];

	if (kind == PROBLEM_L1_TABLE_OUT_OF_FILE && f->owner.kind == WALK_SNAPSHOT)
		return PROBLEM_SNAPSHOT_L1_OUT_OF_FILE;
	return kind;
}

/* Whether clusters that nobody else knows of will now look leaked. */
static bool loses_root(const struct walk_fault *f)
{
	switch (f->bad) {
	case WALK_BAD_RESERVED:
	case WALK_BAD_SHORT:
	case WALK_BAD_NAME:
	case WALK_BAD_FLAGS:
	case WALK_BAD_EMPTY:
	case WALK_BAD_FORBIDDEN:
	case WALK_BAD_LONG:
		return false;
	default:
		return f->what != WALK_REFCOUNT_TABLE && f->what != WALK_REFCOUNT_BLOCK &&
		       f->what != WALK_BITMAP_DATA;
	}
}

/* A count that can't be read is not a wrong count. A piece of the table is as many blocks.
 */
static void blocks_lost(struct check *c, const struct walk_fault *w)
{
	uint64_t idx = (w->place - c->header->refcount_table_off) / 8;
	uint64_t blocks = (c->clusters >> geom_refcount_block_bits(c->geom)) + 1;
	uint64_t nr = w->what == WALK_REFCOUNT_TABLE ? w->value : 1;

	for (uint64_t i = idx; i < blocks && i < idx + nr; i++)
		c->blocks[i] = BLOCK_UNKNOWN;
}

int check_on_fault(void *arg, const struct walk_fault *w, struct err *e)
{
	struct check *c = arg;
	struct finding f = {
		.kind = kind_of(w),
		.place = w->place,
		.has_place = w->place,
		.value = w->value,
		.has_value = w->value,
		.host = w->host,
		.has_host = w->host,
		.guest = w->guest,
		.guest_len = w->guest_len,
		.text = w->text,
	};

	char text[256];

	if (w->bad == WALK_BAD_READ) {
		impact_mark_unread(c, w);
		snprintf(text, sizeof text, "%s: %s", check_what_text(w->what),
			 w->text ? w->text : "no reason given");
		f.text = text;
		if (w->what == WALK_REFCOUNT_BLOCK || w->what == WALK_REFCOUNT_TABLE)
			blocks_lost(c, w);
	}
	if (w->bad == WALK_BAD_RANGE)
		check_needs(c, w->host);
	if (loses_root(w))
		c->result->pointers_lost |= w->what == WALK_SNAPSHOT_TABLE ? LOST_SNAPSHOTS
									    : LOST_OTHERS;
	if (f.kind == NONE)
		return 0;
	finding_set_owner(c, &f, w->owner);
	check_found(c, &f);
	return 0;
}
