#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "format/limits.h"

/* LUKS1 header inside the image (7.4), with the checks of (7.5) that need no cipher. */
#define LUKS_SLOT_ENABLED  0x00ac71f3u
#define LUKS_SLOT_DISABLED 0x0000deadu

struct luks_slot {
	bool enabled;
	uint32_t iterations; /* not 0 in an enabled slot, and bounded by whoever tries it */
	uint8_t salt[32];
	uint32_t key_sector; /* of 512 bytes, relative to the LUKS header */
	uint32_t stripes;
};

struct luks_header {
	char cipher[32], mode[32], hash[32]; /* terminated */
	uint32_t payload_sector;
	uint32_t key_len; /* bytes, 1..LUKS_KEY_BYTES_MAX */
	uint8_t digest[LUKS_DIGEST_BYTES], salt[32];
	uint32_t iterations; /* 1..LUKS_ITERATIONS_MAX */
	char uuid[41]; /* terminated; 40 bytes in the file */
	struct luks_slot slots[LUKS_SLOTS];
};

/* Reads LUKS_HEADER_BYTES. area_len: bytes of the image file that the crypto header extension
 * reserves; key material must lie in it, behind the header and before the payload, which begins
 * where it ends at the latest, and slots must not overlap. Each finding of (7.5) has its own message. Which ciphers, modes and
 * hashes exist is not known here. */
int luks_header_decode(struct rd *r, uint64_t area_len, struct luks_header *h, struct err *e)
	MUST_CHECK;
void luks_header_encode(struct wr *w, const struct luks_header *h);
/* 512-byte sectors that the key material of one slot occupies */
uint64_t luks_slot_sectors(const struct luks_header *h);
