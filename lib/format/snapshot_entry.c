#include "format/snapshot_entry.h"

#include <assert.h>
#include <inttypes.h>

#include "format/limits.h"

#define ENTRY_FIXED_BYTES 40
#define EXTRA_VM_STATE 8 /* extra data of this length has the field, (8.1) */
#define EXTRA_DISK_SIZE 16
#define EXTRA_ICOUNT 24

static void extra_decode(struct snapshot_entry *s, uint32_t vm_state_32)
{
	struct rd r = rd_over(s->extra.p, s->extra.n);

	s->has_disk_size = s->extra.n >= EXTRA_DISK_SIZE;
	s->has_icount = s->extra.n >= EXTRA_ICOUNT;
	/* A field that does not fit reads as 0 and leaves the cursor failed: exactly the
	 * "not there" of each that follows. */
	s->vm_state_len = rd_be64(&r);
	s->disk_size = rd_be64(&r);
	s->icount = rd_be64(&r);
	s->extra_unknown = rd_bytes(&r, rd_left(&r));
	if (s->extra.n < EXTRA_VM_STATE)
		s->vm_state_len = vm_state_32;
}

int snapshot_entry_decode(struct rd *r, struct snapshot_entry *s, struct err *e)
{
	uint32_t vm_state_32, extra_len;
	uint16_t id_len, name_len;

	rd_pad(r, 8);
	s->l1_off = rd_be64(r);
	s->l1_nr = rd_be32(r);
	id_len = rd_be16(r);
	name_len = rd_be16(r);
	s->date_sec = rd_be32(r);
	s->date_nsec = rd_be32(r);
	s->vm_clock_nsec = rd_be64(r);
	vm_state_32 = rd_be32(r);
	extra_len = rd_be32(r);
	if (extra_len > SNAPSHOT_EXTRA_MAX)
		return err_set(e, ERR_CORRUPT, "too much extra data: %" PRIu32 " bytes",
			       extra_len);
	s->extra = rd_bytes(r, extra_len);
	s->id = rd_bytes(r, id_len);
	s->name = rd_bytes(r, name_len);
	if (r->failed)
		return err_set(e, ERR_CORRUPT,
			       "entry runs past the end of the snapshot table of %zu bytes",
			       r->n);
	extra_decode(s, vm_state_32);
	return 0;
}

/* A disk size that nobody has told is left out rather than written as 0: its absence means
 * "as large as the disk is now". */
static uint32_t extra_written(const struct snapshot_entry *s)
{
	return s->has_disk_size ? EXTRA_ICOUNT + (uint32_t)s->extra_unknown.n
				: EXTRA_VM_STATE;
}

static void extra_encode(struct wr *w, const struct snapshot_entry *s)
{
	wr_be64(w, s->vm_state_len);
	if (!s->has_disk_size)
		return;
	wr_be64(w, s->disk_size);
	wr_be64(w, s->has_icount ? s->icount : UINT64_MAX);
	wr_bytes(w, s->extra_unknown);
}

void snapshot_entry_encode(struct wr *w, const struct snapshot_entry *s)
{
	assert(s->id.n <= UINT16_MAX && s->name.n <= UINT16_MAX);
	assert(extra_written(s) <= SNAPSHOT_EXTRA_MAX);
	wr_pad(w, 8);
	wr_be64(w, s->l1_off);
	wr_be32(w, s->l1_nr);
	wr_be16(w, (uint16_t)s->id.n);
	wr_be16(w, (uint16_t)s->name.n);
	wr_be32(w, s->date_sec);
	wr_be32(w, s->date_nsec);
	wr_be64(w, s->vm_clock_nsec);
	/* Who only knows the narrow field must not take a part for the whole. */
	wr_be32(w, s->vm_state_len > UINT32_MAX ? 0 : (uint32_t)s->vm_state_len);
	wr_be32(w, extra_written(s));
	extra_encode(w, s);
	wr_bytes(w, s->id);
	wr_bytes(w, s->name);
}

uint64_t snapshot_entry_len(const struct snapshot_entry *s, uint64_t pos)
{
	return -pos % 8 + ENTRY_FIXED_BYTES + extra_written(s) + s->id.n + s->name.n;
}

uint64_t snapshot_entry_stored_len(const struct snapshot_entry *s, uint64_t pos)
{
	return -pos % 8 + ENTRY_FIXED_BYTES + s->extra.n + s->id.n + s->name.n;
}

int snapshot_l1_check(const struct snapshot_entry *s, unsigned cluster_bits, struct err *e)
{
	uint64_t len = s->l1_nr * UINT64_C(8);

	if (len > L1_BYTES_MAX)
		return err_set(e, ERR_CORRUPT,
			       "snapshot L1 table is too large: %" PRIu32 " entries",
			       s->l1_nr);
	if (s->l1_off & ((UINT64_C(1) << cluster_bits) - 1))
		return err_set(e, ERR_CORRUPT,
			       "snapshot L1 table at 0x%" PRIx64 " is not cluster aligned",
			       s->l1_off);
	if (s->l1_off > FILE_OFFSET_MAX - len)
		return err_set(e, ERR_CORRUPT,
			       "snapshot L1 table at 0x%" PRIx64 " is out of range",
			       s->l1_off);
	return 0;
}
