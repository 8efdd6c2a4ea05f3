/* Partition tables, sound and hostile. */
#include "ops/partitions.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define DISK_BYTES (UINT64_C(64) << 20)

struct disk_bytes {
	uint8_t *bytes;
	uint64_t n;
	unsigned reads;
	uint64_t bad; /* reads that touch this byte fail */
};

static int read_bytes(void *arg, uint64_t off, void *buf, size_t n)
{
	struct disk_bytes *d = arg;

	d->reads++;
	CHECK(off <= d->n && n <= d->n - off);
	if (d->bad >= off && d->bad - off < n)
		return -1;
	memcpy(buf, d->bytes + off, n);
	return 0;
}

static struct disk_bytes disk_new(void)
{
	return (struct disk_bytes){ .bytes = calloc(1, DISK_BYTES), .n = DISK_BYTES,
				    .bad = UINT64_MAX };
}

static void le_put(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* Entry i of the MBR, or of the table of a logical partition, in sector `at`. */
static void mbr_put(struct disk_bytes *d, uint64_t at, unsigned i, uint8_t type, uint32_t start,
		    uint32_t nr)
{
	uint8_t *s = d->bytes + at * 512, *p = s + 446 + 16 * i;

	s[510] = 0x55;
	s[511] = 0xaa;
	p[4] = type;
	le_put(p + 8, start, 4);
	le_put(p + 12, nr, 4);
}

static uint32_t crc32_slow(const uint8_t *p, size_t n)
{
	uint32_t crc = 0;

	crc = ~crc;
	for (size_t i = 0; i < n * 8; i++) {
		uint32_t bit = (crc ^ (uint32_t)(p[i / 8] >> (i % 8))) & 1;

		crc = crc >> 1 ^ (bit ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* Two entries, the second and the fifth, in sectors of `sector` bytes; header at lba, entries
 * at `table`. */
static void gpt_put(struct disk_bytes *d, uint64_t sector, uint64_t lba, uint64_t table)
{
	uint8_t *h = d->bytes + lba * sector, *t = d->bytes + table * sector;

	memset(t, 0, 128 * 128);
	t[128] = t[4 * 128] = 1;
	le_put(t + 128 + 32, 2048, 8);
	le_put(t + 128 + 40, 4095, 8);
	le_put(t + 4 * 128 + 32, 4096, 8);
	le_put(t + 4 * 128 + 40, 4096, 8);
	memset(h, 0, sector);
	memcpy(h, "EFI PART", 8);
	le_put(h + 12, 92, 4);
	le_put(h + 24, lba, 8);
	le_put(h + 72, table, 8);
	le_put(h + 80, 128, 4);
	le_put(h + 84, 128, 4);
	le_put(h + 88, crc32_slow(t, 128 * 128), 4);
	le_put(h + 16, crc32_slow(h, 92), 4);
}

static bool has(const struct partitions *p, unsigned i, unsigned number, uint64_t start,
		uint64_t len)
{
	return i < p->nr && p->list[i].number == number && p->list[i].start == start &&
	       p->list[i].len == len;
}

static void no_table_is_none(void)
{
	struct disk_bytes d = disk_new();
	struct partitions p = partitions_find(read_bytes, &d, d.n);

	CHECK(p.table == PARTITIONS_NONE && p.nr == 0);
	partitions_free(&p);
	/* The boot sector of a file system. */
	d.bytes[510] = 0x55;
	d.bytes[511] = 0xaa;
	memset(d.bytes + 446, 'x', 64);
	p = partitions_find(read_bytes, &d, d.n);
	CHECK(p.table == PARTITIONS_NONE && p.nr == 0);
	partitions_free(&p);
	p = partitions_find(read_bytes, &d, 0);
	CHECK(p.nr == 0);
	partitions_free(&p);
	free(d.bytes);
}

static void primary_and_logical(void)
{
	struct disk_bytes d = disk_new();

	mbr_put(&d, 0, 0, 0x83, 2048, 2048);
	mbr_put(&d, 0, 2, 0x05, 8192, 16384);
	mbr_put(&d, 8192, 0, 0x83, 8, 100);
	mbr_put(&d, 8192, 1, 0x05, 4096, 4096);
	mbr_put(&d, 8192 + 4096, 0, 0x83, 16, 200);
	struct partitions p = partitions_find(read_bytes, &d, d.n);

	CHECK(p.table == PARTITIONS_MBR && p.nr == 3);
	CHECK(has(&p, 0, 1, 2048 * 512, 2048 * 512));
	CHECK(has(&p, 1, 5, 8200 * 512, 100 * 512));
	CHECK(has(&p, 2, 6, (8192 + 4096 + 16) * 512, 200 * 512));
	partitions_free(&p);
	free(d.bytes);
}

static void a_chain_that_bites_its_tail_ends(void)
{
	struct disk_bytes d = disk_new();

	mbr_put(&d, 0, 0, 0x0f, 100, UINT32_MAX);
	mbr_put(&d, 100, 0, 0x83, 1, 10);
	mbr_put(&d, 100, 1, 0x05, 50, 10);
	mbr_put(&d, 150, 0, 0x83, UINT32_MAX, UINT32_MAX);
	mbr_put(&d, 150, 1, 0x05, 50, 10);
	struct partitions p = partitions_find(read_bytes, &d, d.n);

	CHECK(p.nr == 1 && d.reads < 2 * PARTITIONS_MAX);
	CHECK(has(&p, 0, 5, 101 * 512, 10 * 512));
	partitions_free(&p);
	free(d.bytes);
}

static void what_leaves_the_disk_is_cut(void)
{
	struct disk_bytes d = disk_new();

	mbr_put(&d, 0, 0, 0x83, 2048, UINT32_MAX);
	mbr_put(&d, 0, 1, 0x83, (uint32_t)(DISK_BYTES / 512), 1);
	mbr_put(&d, 0, 2, 0x83, 0, 100);
	mbr_put(&d, 0, 3, 0x83, 100, 0);
	struct partitions p = partitions_find(read_bytes, &d, d.n);

	CHECK(p.nr == 1 && has(&p, 0, 1, 2048 * 512, DISK_BYTES - 2048 * 512));
	partitions_free(&p);
	free(d.bytes);
}

static void gpt_first_then_its_copy(void)
{
	struct disk_bytes d = disk_new();
	uint64_t last = DISK_BYTES / 512 - 1;

	mbr_put(&d, 0, 0, 0xee, 1, UINT32_MAX);
	gpt_put(&d, 512, 1, 2);
	gpt_put(&d, 512, last, last - 32);
	for (unsigned round = 0; round < 3; round++) {
		struct partitions p = partitions_find(read_bytes, &d, d.n);

		CHECK(p.table == PARTITIONS_GPT && p.nr == 2);
		CHECK(has(&p, 0, 2, 2048 * 512, 2048 * 512));
		CHECK(has(&p, 1, 5, 4096 * 512, 512));
		partitions_free(&p);
		if (round == 0)
			d.bytes[512 + 72] ^= 1; /* a damaged header */
		else
			d.bad = 0; /* no MBR to read either */
	}
	d.bytes[(last - 32) * 512 + 200] ^= 1; /* and damaged entries of the copy */
	d.bad = UINT64_MAX;
	struct partitions p = partitions_find(read_bytes, &d, d.n);

	CHECK(p.table == PARTITIONS_MBR);
	partitions_free(&p);
	free(d.bytes);
}

static void gpt_with_large_sectors(void)
{
	struct disk_bytes d = disk_new();

	mbr_put(&d, 0, 0, 0xee, 1, UINT32_MAX);
	gpt_put(&d, 4096, 1, 2);
	struct partitions p = partitions_find(read_bytes, &d, d.n);

	CHECK(p.table == PARTITIONS_GPT && p.nr == 2);
	CHECK(has(&p, 0, 2, 2048 * 4096, 2048 * 4096));
	partitions_free(&p);
	free(d.bytes);
}

static void a_gpt_that_the_mbr_forgot_is_old(void)
{
	struct disk_bytes d = disk_new();

	gpt_put(&d, 512, 1, 2);
	mbr_put(&d, 0, 1, 0x83, 64, 128);
	struct partitions p = partitions_find(read_bytes, &d, d.n);

	CHECK(p.table == PARTITIONS_MBR && p.nr == 1 && has(&p, 0, 2, 64 * 512, 128 * 512));
	partitions_free(&p);
	free(d.bytes);
}

/* Whatever is in a header: no read outside the disk, no crash, an answer that fits the disk. */
static void hostile_headers_are_harmless(void)
{
	static const uint64_t odd[] = { 0, 1, 7, 91, 513, UINT32_MAX, UINT64_MAX, UINT64_MAX / 2,
					DISK_BYTES / 512, DISK_BYTES / 512 - 1 };
	static const struct { unsigned off, n; } fields[] = { { 12, 4 }, { 72, 8 }, { 80, 4 },
							      { 84, 4 } };

	for (unsigned f = 0; f < sizeof fields / sizeof *fields; f++)
		for (unsigned v = 0; v < sizeof odd / sizeof *odd; v++) {
			struct disk_bytes d = disk_new();
			uint8_t *h = d.bytes + 512;

			gpt_put(&d, 512, 1, 2);
			le_put(h + fields[f].off, odd[v], fields[f].n);
			le_put(h + 16, 0, 4);
			le_put(h + 16, crc32_slow(h, 92), 4);
			struct partitions p = partitions_find(read_bytes, &d, d.n);

			for (unsigned i = 0; i < p.nr; i++)
				CHECK(p.list[i].len && p.list[i].start < d.n &&
				      p.list[i].len <= d.n - p.list[i].start);
			partitions_free(&p);
			free(d.bytes);
		}
}

int main(void)
{
	RUN(no_table_is_none);
	RUN(primary_and_logical);
	RUN(a_chain_that_bites_its_tail_ends);
	RUN(what_leaves_the_disk_is_cut);
	RUN(gpt_first_then_its_copy);
	RUN(gpt_with_large_sectors);
	RUN(a_gpt_that_the_mbr_forgot_is_old);
	RUN(hostile_headers_are_harmless);
	return DONE();
}
