#include "format/luks_header.h"

#include <inttypes.h>

#include "base/align.h"

static const uint8_t LUKS_MAGIC[6] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
#define LUKS_VERSION 1
#define LUKS_SECTOR_ALIGN 8 /* key material comes in multiples of 4 KiB */

static void take(struct rd *r, void *out, size_t n)
{
	struct bytes b = rd_bytes(r, n);

	if (b.p)
		memcpy(out, b.p, n);
	else
		memset(out, 0, n);
}

static void give(struct wr *w, const void *from, size_t n)
{
	wr_bytes(w, (struct bytes){ from, n });
}

uint64_t luks_slot_sectors(const struct luks_header *h)
{
	uint64_t split = (uint64_t)h->key_len * LUKS_STRIPES;

	return align_up(div_up(split, SECTOR_SIZE), LUKS_SECTOR_ALIGN);
}

static int text_take(struct rd *r, char out[32], const char *what, struct err *e)
{
	take(r, out, 32);
	if (!r->failed && !memchr(out, 0, 32))
		return err_set(e, ERR_CORRUPT, "LUKS %s is not terminated", what);
	return 0;
}

/* States are judged while decoding, since the struct has no place for a third one. */
static int slot_decode(struct rd *r, unsigned i, struct luks_slot *s, struct err *e)
{
	uint32_t state = rd_be32(r);

	s->enabled = state == LUKS_SLOT_ENABLED;
	s->iterations = rd_be32(r);
	take(r, s->salt, sizeof s->salt);
	s->key_sector = rd_be32(r);
	s->stripes = rd_be32(r);
	if (!r->failed && !s->enabled && state != LUKS_SLOT_DISABLED)
		return err_set(e, ERR_CORRUPT, "LUKS key slot %u: state 0x%08" PRIx32, i,
			       state);
	return 0;
}

static int iterations_check(uint32_t iterations, struct err *e)
{
	return iterations ? 0 : err_set(e, ERR_CORRUPT, "no PBKDF2 iterations");
}

static int slot_check(const struct luks_header *h, unsigned i, uint64_t area_len,
		      struct err *e)
{
	const struct luks_slot *s = &h->slots[i];
	uint64_t end = s->key_sector + luks_slot_sectors(h);

	if (s->stripes != LUKS_STRIPES)
		return err_set(e, ERR_CORRUPT, "LUKS key slot %u: %" PRIu32 " stripes", i,
			       s->stripes);
	if (s->enabled && iterations_check(s->iterations, e) < 0)
		return err_ctx(e, "LUKS key slot %u", i);
	if (s->key_sector < LUKS_FIRST_KEY_SECTOR)
		return err_set(e, ERR_CORRUPT,
			       "LUKS key slot %u: key material at sector %" PRIu32
			       " overlaps the header",
			       i, s->key_sector);
	if (end > h->payload_sector)
		return err_set(e, ERR_CORRUPT,
			       "LUKS key slot %u: key material at sector %" PRIu32
			       " overlaps the payload at sector %" PRIu32,
			       i, s->key_sector, h->payload_sector);
	if (end > area_len / SECTOR_SIZE)
		return err_set(e, ERR_CORRUPT,
			       "LUKS key slot %u: key material at sector %" PRIu32
			       " runs past the %" PRIu64 " bytes of the crypto header",
			       i, s->key_sector, area_len);
	return 0;
}

static int slots_check(const struct luks_header *h, uint64_t area_len, struct err *e)
{
	uint64_t sectors = luks_slot_sectors(h);

	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		if (slot_check(h, i, area_len, e) < 0)
			return -1;
		for (unsigned k = 0; k < i; k++) {
			uint64_t a = h->slots[k].key_sector, b = h->slots[i].key_sector;

			if (a < b + sectors && b < a + sectors)
				return err_set(e, ERR_CORRUPT,
					       "LUKS key slots %u and %u overlap", k, i);
		}
	}
	return 0;
}

static int fields_check(const struct luks_header *h, struct err *e)
{
	if (h->payload_sector < LUKS_FIRST_KEY_SECTOR)
		return err_set(e, ERR_CORRUPT,
			       "LUKS payload at sector %" PRIu32 " overlaps the header",
			       h->payload_sector);
	if (h->key_len == 0 || h->key_len > LUKS_KEY_BYTES_MAX)
		return err_set(e, ERR_UNSUPPORTED, "LUKS master key of %" PRIu32 " bytes",
			       h->key_len);
	if (iterations_check(h->iterations, e) < 0)
		return err_ctx(e, "LUKS master key");
	if (h->iterations > LUKS_ITERATIONS_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "LUKS master key: too many PBKDF2 iterations: %" PRIu32, h->iterations);
	return 0;
}

static int start_decode(struct rd *r, struct err *e)
{
	uint8_t magic[sizeof LUKS_MAGIC];
	uint16_t version;

	take(r, magic, sizeof magic);
	version = rd_be16(r);
	if (r->failed)
		return 0; /* one message for every cut */
	if (memcmp(magic, LUKS_MAGIC, sizeof magic) != 0)
		return err_set(e, ERR_CORRUPT,
			       "no LUKS header where the crypto header should be");
	if (version != LUKS_VERSION)
		return err_set(e, ERR_UNSUPPORTED, "unsupported LUKS version %u", version);
	return 0;
}

int luks_header_decode(struct rd *r, uint64_t area_len, struct luks_header *h,
		       struct err *e)
{
	*h = (struct luks_header){ 0 };
	if (start_decode(r, e) < 0 || text_take(r, h->cipher, "cipher name", e) < 0 ||
	    text_take(r, h->mode, "cipher mode", e) < 0 ||
	    text_take(r, h->hash, "hash name", e) < 0)
		return -1;
	h->payload_sector = rd_be32(r);
	h->key_len = rd_be32(r);
	take(r, h->digest, sizeof h->digest);
	take(r, h->salt, sizeof h->salt);
	h->iterations = rd_be32(r);
	take(r, h->uuid, 40);
	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		if (slot_decode(r, i, &h->slots[i], e) < 0)
			return -1;
	if (r->failed || area_len < LUKS_HEADER_BYTES)
		return err_set(e, ERR_CORRUPT,
			       "LUKS header is cut short: %" PRIu64 " bytes",
			       MIN(area_len, (uint64_t)r->n));
	if (fields_check(h, e) < 0 || slots_check(h, area_len, e) < 0)
		return -1;
	if (h->payload_sector > area_len / SECTOR_SIZE)
		return err_set(e, ERR_CORRUPT,
			       "LUKS payload at sector %" PRIu32 " lies behind the %" PRIu64
			       " bytes of the crypto header",
			       h->payload_sector, area_len);
	return 0;
}

void luks_header_encode(struct wr *w, const struct luks_header *h)
{
	give(w, LUKS_MAGIC, sizeof LUKS_MAGIC);
	wr_be16(w, LUKS_VERSION);
	give(w, h->cipher, sizeof h->cipher);
	give(w, h->mode, sizeof h->mode);
	give(w, h->hash, sizeof h->hash);
	wr_be32(w, h->payload_sector);
	wr_be32(w, h->key_len);
	give(w, h->digest, sizeof h->digest);
	give(w, h->salt, sizeof h->salt);
	wr_be32(w, h->iterations);
	give(w, h->uuid, 40);
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		const struct luks_slot *s = &h->slots[i];

		wr_be32(w, s->enabled ? LUKS_SLOT_ENABLED : LUKS_SLOT_DISABLED);
		wr_be32(w, s->iterations);
		give(w, s->salt, sizeof s->salt);
		wr_be32(w, s->key_sector);
		wr_be32(w, s->stripes);
	}
}
