#pragma once
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"

/* Bytes of an undo file: see file_undo.h. */

#define UNDO_MAGIC	   "qcow2und"
#define UNDO_VERSION	   2
#define UNDO_HEADER	   4096 /* bytes */
#define UNDO_SAMPLES	   64
#define UNDO_SAMPLES_AT	   32
#define UNDO_SAMPLE	   16 /* bytes */
#define UNDO_RECORD_MAGIC  UINT32_C(0x756e646f)
#define UNDO_RECORD	   40 /* bytes */
#define UNDO_RECORD_MAX	   ((size_t)1 << 20) /* bytes that follow one */
#define UNDO_SAMPLE_BYTES  4096
#define UNDO_SECTOR	   ((size_t)512) /* that has a CRC of its own */
#define UNDO_SUM	   4		 /* bytes */
#define UNDO_NOTE	   12		 /* bytes */

enum undo_kind {
	UNDO_BYTES = 1,
	UNDO_ZEROS = 2,
	UNDO_WRITTEN = 3,
	UNDO_NOTES = 4,
	UNDO_LENGTH = 5,
	UNDO_DONE = 6,
};

struct undo_record {
	uint32_t kind;
	uint64_t off, len, nr;
	uint32_t crc;
};

static inline uint32_t undo_crc(const void *p, size_t n)
{
	return (uint32_t)crc32(0, p, (uInt)n);
}

static inline void undo_record_encode(const struct undo_record *r, uint8_t p[UNDO_RECORD])
{
	be32_put(p, UNDO_RECORD_MAGIC);
	be32_put(p + 4, r->kind);
	be64_put(p + 8, r->off);
	be64_put(p + 16, r->len);
	be64_put(p + 24, r->nr);
	be32_put(p + 32, r->crc);
	be32_put(p + 36, undo_crc(p, 36));
}

/* Bytes that follow. */
static inline size_t undo_record_body(const struct undo_record *r)
{
	switch (r->kind) {
	case UNDO_BYTES:
	case UNDO_NOTES:
		return (size_t)r->len;
	case UNDO_WRITTEN:
		return (size_t)((r->len + UNDO_SECTOR - 1) / UNDO_SECTOR * UNDO_SUM);
	default:
		return 0;
	}
}

/* False when it is none. */
static inline bool undo_record_decode(const uint8_t p[UNDO_RECORD], struct undo_record *r)
{
	r->kind = be32_get(p + 4);
	r->off = be64_get(p + 8);
	r->len = be64_get(p + 16);
	r->nr = be64_get(p + 24);
	r->crc = be32_get(p + 32);
	if (be32_get(p) != UNDO_RECORD_MAGIC || be32_get(p + 36) != undo_crc(p, 36) ||
	    r->off > INT64_MAX || r->len > INT64_MAX - r->off)
		return false;
	switch (r->kind) {
	case UNDO_BYTES:
	case UNDO_WRITTEN:
		return r->len && r->len <= UNDO_RECORD_MAX && r->off % UNDO_SECTOR == 0;
	case UNDO_NOTES:
		return r->len <= UNDO_RECORD_MAX && r->len % UNDO_NOTE == 0;
	case UNDO_ZEROS:
		return r->len && r->off % UNDO_SECTOR == 0;
	case UNDO_LENGTH:
	case UNDO_DONE:
		return true;
	default:
		return false;
	}
}
