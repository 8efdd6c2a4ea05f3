#include "ops/partitions.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bytes.h"

#define MBR_BYTES	512
#define MBR_ENTRIES_OFF 446
#define MBR_ENTRY_BYTES 16
#define MBR_PROTECTIVE	0xee /* a GPT is there */
#define SECTOR		512  /* MBRs of disks with larger sectors are rare, and can't be told */

#define GPT_HEADER_MIN	92
#define GPT_ENTRY_MIN	128
#define GPT_TABLE_MAX	(UINT64_C(1) << 20)

struct scan {
	partitions_read_fn read;
	void *arg;
	uint64_t size;
	struct partitions *out;
};

static uint32_t le32_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64_at(const uint8_t *p)
{
	return le32_at(p) | (uint64_t)le32_at(p + 4) << 32;
}

static bool scan_read(const struct scan *s, uint64_t off, void *buf, uint64_t n)
{
	return off <= s->size && n <= s->size - off && s->read(s->arg, off, buf, (size_t)n) == 0;
}

/* In sectors of `sector` bytes; what isn't on the disk is left out, or cut. */
static void partition_add(struct scan *s, unsigned number, uint64_t start, uint64_t nr,
			  uint64_t sector)
{
	struct partitions *p = s->out;

	if (!start || !nr || start >= s->size / sector || p->nr == PARTITIONS_MAX)
		return;
	nr = MIN(nr, s->size / sector - start);
	p->list[p->nr++] =
	    (struct partition) { .number = number, .start = start * sector, .len = nr * sector };
}

/* --- MBR --- */

struct mbr_entry {
	uint8_t status, type;
	uint32_t start, nr; /* sectors */
};

static struct mbr_entry mbr_entry_at(const uint8_t *sector, unsigned i)
{
	const uint8_t *p = sector + MBR_ENTRIES_OFF + i * MBR_ENTRY_BYTES;

	return (struct mbr_entry) { p[0], p[4], le32_at(p + 8), le32_at(p + 12) };
}

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/* A boot sector of a file system has the same last two bytes, and code where the entries are. */
static bool is_mbr(const uint8_t *sector)
{
	if (sector[510] != 0x55 || sector[511] != 0xaa)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (mbr_entry_at(sector, i).status & 0x7f)
			return false;
	return true;
}

static bool is_protective(const uint8_t *sector)
{
	for (unsigned i = 0; i < 4; i++)
		if (mbr_entry_at(sector, i).type == MBR_PROTECTIVE)
			return true;
	return false;
}

/* Logical partitions are a chain of tables, each with one of them and the next table. The chain may
 * lead anywhere, so it is its length that is bounded. */
static void logical_find(struct scan *s, uint64_t extended)
{
	uint8_t sector[MBR_BYTES];
	uint64_t at = extended;

	for (unsigned number = 5; number < 5 + PARTITIONS_MAX; number++) {
		if (at >= s->size / SECTOR ||
		    !scan_read(s, at * SECTOR, sector, sizeof sector) || !is_mbr(sector))
			return;
		struct mbr_entry own = mbr_entry_at(sector, 0), next = mbr_entry_at(sector, 1);

		if (own.type && !is_extended(own.type))
			partition_add(s, number, at + own.start, own.nr, SECTOR);
		if (!is_extended(next.type) || !next.start)
			return;
		at = extended + next.start;
	}
}

static void mbr_find(struct scan *s, const uint8_t *sector)
{
	bool chain = false;

	for (unsigned i = 0; i < 4; i++) {
		struct mbr_entry x = mbr_entry_at(sector, i);

		if (x.type && !is_extended(x.type))
			partition_add(s, i + 1, x.start, x.nr, SECTOR);
	}
	for (unsigned i = 0; i < 4 && !chain; i++) {
		struct mbr_entry x = mbr_entry_at(sector, i);

		chain = is_extended(x.type) && x.start;
		if (chain)
			logical_find(s, x.start);
	}
	if (s->out->nr)
		s->out->table = PARTITIONS_MBR;
}

/* --- GPT --- */

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static bool is_gpt_header(uint8_t *h, uint64_t sector, uint64_t lba)
{
	uint64_t len = le32_at(h + 12);
	uint32_t crc = le32_at(h + 16);

	if (memcmp(h, "EFI PART", 8) != 0 || len < GPT_HEADER_MIN || len > sector)
		return false;
	memset(h + 16, 0, 4);
	return crc32_of(h, len) == crc && le64_at(h + 24) == lba;
}

static void gpt_entries_take(struct scan *s, const uint8_t *table, uint32_t nr, uint32_t each,
			     uint64_t sector)
{
	static const uint8_t unused[16];

	for (uint32_t i = 0; i < nr; i++) {
		const uint8_t *p = table + (uint64_t)i * each;
		uint64_t first = le64_at(p + 32), last = le64_at(p + 40);

		if (memcmp(p, unused, sizeof unused) != 0 && last >= first && last < UINT64_MAX)
			partition_add(s, i + 1, first, last - first + 1, sector);
	}
}

/* The table of the header in sector number lba. */
static bool gpt_find(struct scan *s, uint64_t sector, uint64_t lba)
{
	uint8_t header[4096], *table;
	bool found = false;

	if (lba >= s->size / sector || !scan_read(s, lba * sector, header, sector) ||
	    !is_gpt_header(header, sector, lba))
		return false;
	uint64_t at = le64_at(header + 72), nr = le32_at(header + 80), each = le32_at(header + 84);

	if (each < GPT_ENTRY_MIN || each % 8 || !nr || nr * each > GPT_TABLE_MAX ||
	    at >= s->size / sector)
		return false;
	table = malloc(nr * each);
	if (table && scan_read(s, at * sector, table, nr * each) &&
	    crc32_of(table, nr * each) == le32_at(header + 88)) {
		gpt_entries_take(s, table, (uint32_t)nr, (uint32_t)each, sector);
		found = true;
	}
	free(table);
	if (found)
		s->out->table = PARTITIONS_GPT;
	return found;
}

/* The first header that is sound: at the beginning, or its copy in the last sector. */
static bool gpt_find_any(struct scan *s)
{
	static const uint64_t sectors[] = { 512, 4096 };

	for (int backup = 0; backup < 2; backup++)
		for (int i = 0; i < 2; i++) {
			uint64_t nr = s->size / sectors[i];

			if (nr > 2 && gpt_find(s, sectors[i], backup ? nr - 1 : 1))
				return true;
		}
	return false;
}

static int start_order(const void *a, const void *b)
{
	const struct partition *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

struct partitions partitions_find(partitions_read_fn read, void *arg, uint64_t disk_size)
{
	struct partitions p = { .list = calloc(PARTITIONS_MAX, sizeof *p.list) };
	struct scan s = { read, arg, disk_size, &p };
	uint8_t sector[MBR_BYTES];
	bool mbr;

	if (!p.list)
		return p;
	mbr = scan_read(&s, 0, sector, sizeof sector) && is_mbr(sector);
	/* A GPT that an MBR says nothing of is what is left of one. Without a sound MBR it is the
	 * best there is. */
	if ((!mbr || is_protective(sector)) && gpt_find_any(&s))
		mbr = false;
	if (mbr)
		mbr_find(&s, sector);
	if (p.nr > 1)
		qsort(p.list, p.nr, sizeof *p.list, start_order);
	return p;
}

void partitions_free(struct partitions *p)
{
	free(p->list);
	*p = (struct partitions) { 0 };
}
