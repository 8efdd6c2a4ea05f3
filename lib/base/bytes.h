#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Cursors over bytes, so that length and byte order are one thing to remember. All integers
 * of the format are big-endian. */

struct bytes {
	const uint8_t *p;
	size_t n;
};

static inline uint16_t be16_get(const uint8_t *p)
{
	return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t be32_get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	return v;
}

static inline uint64_t be64_get(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static inline void be16_put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	memcpy(p, &v, sizeof v);
}

static inline void be64_put(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	memcpy(p, &v, sizeof v);
}

/* A failed read leaves the cursor failed and yields zero, so a decoder can name all its
 * fields in order and ask once, at the end, whether the bytes were there. */
struct rd {
	const uint8_t *base;
	size_t pos, n;
	bool failed;
};

static inline struct rd rd_over(const void *base, size_t n)
{
	return (struct rd){ (const uint8_t *)base, 0, n, false };
}

static inline size_t rd_left(const struct rd *r)
{
	return r->failed ? 0 : r->n - r->pos;
}

static inline struct bytes rd_bytes(struct rd *r, size_t n)
{
	if (r->failed || n > r->n - r->pos) {
		r->failed = true;
		return (struct bytes){ NULL, 0 };
	}
	struct bytes b = { r->base + r->pos, n };
	r->pos += n;
	return b;
}

static inline uint8_t rd_u8(struct rd *r)
{
	struct bytes b = rd_bytes(r, 1);

	return b.p ? b.p[0] : 0;
}

static inline uint16_t rd_be16(struct rd *r)
{
	struct bytes b = rd_bytes(r, 2);

	return b.p ? be16_get(b.p) : 0;
}

static inline uint32_t rd_be32(struct rd *r)
{
	struct bytes b = rd_bytes(r, 4);

	return b.p ? be32_get(b.p) : 0;
}

static inline uint64_t rd_be64(struct rd *r)
{
	struct bytes b = rd_bytes(r, 8);

	return b.p ? be64_get(b.p) : 0;
}

/* Skips to the next multiple of `align` (a power of two), counted from the cursor's base. */
static inline void rd_pad(struct rd *r, size_t align)
{
	rd_bytes(r, (align - r->pos % align) % align);
}

/* The writing half: never writes past `n`; `failed` says that something did not fit. */
struct wr {
	uint8_t *base;
	size_t pos, n;
	bool failed;
};

static inline struct wr wr_over(void *base, size_t n)
{
	return (struct wr){ (uint8_t *)base, 0, n, false };
}

static inline uint8_t *wr_room(struct wr *w, size_t n)
{
	if (w->failed || n > w->n - w->pos) {
		w->failed = true;
		return NULL;
	}
	uint8_t *p = w->base + w->pos;
	w->pos += n;
	return p;
}

static inline void wr_bytes(struct wr *w, struct bytes b)
{
	uint8_t *p = wr_room(w, b.n);

	if (p && b.n)
		memcpy(p, b.p, b.n);
}

static inline void wr_zero(struct wr *w, size_t n)
{
	uint8_t *p = wr_room(w, n);

	if (p && n)
		memset(p, 0, n);
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_room(w, 1);

	if (p)
		*p = v;
}

static inline void wr_be16(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_room(w, 2);

	if (p)
		be16_put(p, v);
}

static inline void wr_be32(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_room(w, 4);

	if (p)
		be32_put(p, v);
}

static inline void wr_be64(struct wr *w, uint64_t v)
{
	uint8_t *p = wr_room(w, 8);

	if (p)
		be64_put(p, v);
}

static inline void wr_pad(struct wr *w, size_t align)
{
	wr_zero(w, (align - w->pos % align) % align);
}
