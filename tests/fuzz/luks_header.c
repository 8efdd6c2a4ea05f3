#include "fuzz.h"

#include "format/luks_header.h"

/* The length of the reserved area, then the header. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_over(data, size);
	uint64_t area_len = rd_be64(&r);
	uint8_t out[LUKS_HEADER_BYTES];
	struct wr w = wr_over(out, sizeof out);
	struct err e = ERR_INIT;
	struct luks_header h;

	if (luks_header_decode(&r, area_len, &h, &e) < 0) {
		fuzz_refused(&e);
		return 0;
	}
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		uint64_t end = h.slots[i].key_sector + luks_slot_sectors(&h);

		AGREE(end * SECTOR_SIZE <= area_len && end <= h.payload_sector);
	}
	AGREE(strlen(h.cipher) < 32 && strlen(h.mode) < 32 && strlen(h.hash) < 32);
	AGREE(strlen(h.uuid) <= 40 && h.key_len <= LUKS_KEY_BYTES_MAX);
	luks_header_encode(&w, &h);
	AGREE(!w.failed && w.pos == sizeof out);
	AGREE(!memcmp(out, data + 8, sizeof out)); /* nothing in it is lost */
	return 0;
}
