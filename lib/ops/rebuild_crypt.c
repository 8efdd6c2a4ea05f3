/* Encryption in a header that is made anew. The header alone says that an image is
 * encrypted, but a LUKS header is known by its magic, and says how long it is. Nothing in
 * the file tells of legacy AES. */
#include <string.h>

#include "base/bits.h"
#include "format/luks_header.h"
#include "ops/rebuild_internal.h"

/* LUKS1 (7.4): the magic and the version, and where the payload would begin. */
static const uint8_t luks_start[8] = { 'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1 };
#define AT_PAYLOAD_SECTOR 104

bool rebuild_is_luks(const uint8_t *sector)
{
	return memcmp(sector, luks_start, sizeof luks_start) == 0;
}

/* The key material ends where the payload would begin. A LUKS header that is damaged
 * elsewhere is found all the same: its clusters must not be taken for free ones. */
static bool luks_area(struct rebuild_scan *s, uint64_t off, struct crypto_ext *x)
{
	struct err ignored = ERR_INIT;
	uint8_t bytes[LUKS_HEADER_BYTES];

	if (file_read_padded(s->file, off, bytes, sizeof bytes, NULL, &ignored) < 0 ||
	    !rebuild_is_luks(bytes))
		return false;
	*x = (struct crypto_ext) { off, (uint64_t)be32_get(bytes + AT_PAYLOAD_SECTOR) *
						SECTOR_SIZE };
	return x->header_len >= LUKS_FIRST_KEY_SECTOR * SECTOR_SIZE &&
	       x->header_len <= s->size - off;
}

void rebuild_luks(struct rebuild_scan *s, struct rebuild_layout *l, struct crypto_ext *list,
		  size_t *nr)
{
	*nr = 0;
	for (size_t i = 0; i < s->luks_nr && *nr < LUKS_MAX; i++)
		if (!geom_in_cluster(&l->geom, s->luks[i]) &&
		    rebuild_count(s, l, s->luks[i]) != 0 &&
		    luks_area(s, s->luks[i], &list[*nr]))
			++*nr;
}

bool rebuild_luks_is_cut(struct rebuild_scan *s, const struct header *h)
{
	struct crypto_ext found;

	return h->has_crypto_ext && h->crypto.header_off < s->size &&
	       luks_area(s, h->crypto.header_off, &found) &&
	       found.header_len > h->crypto.header_len;
}

void rebuild_crypt_set(struct rebuild *r, const struct crypto_ext *x)
{
	r->header.crypt_method = CRYPT_LUKS;
	r->header.has_crypto_ext = true;
	r->header.crypto = *x;
	r->source[REBUILD_ENCRYPTION] = REBUILD_FOUND;
}

/* --- the old header --- */

static bool is_found(const struct rebuild_scan *s, uint64_t off)
{
	for (size_t i = 0; i < s->luks_nr; i++)
		if (s->luks[i] == off)
			return true;
	return false;
}

/* Whether an extension that begins here is the crypto header's, though one of its words may
 * be damaged. */
static bool is_crypto_ext(const struct rebuild_scan *s, const struct geom *g,
			  const uint8_t *p)
{
	bool type = be32_get(p) == EXT_CRYPTO_HEADER;
	bool len = be32_get(p + 4) == EXT_CRYPTO_HEADER_BYTES;
	uint64_t off = be64_get(p + 8), bytes = be64_get(p + 16);

	if (!off || geom_in_cluster(g, off) || off >= s->size)
		return false;
	if (type && len)
		return bytes && bytes <= s->size - off;
	return (type || len) && is_found(s, off);
}

bool rebuild_crypt_mend(struct rebuild_scan *s, const struct geom *g, uint8_t *list,
			size_t n)
{
	struct crypto_ext found;

	for (size_t at = 0; at + 8 + EXT_CRYPTO_HEADER_BYTES <= n; at += 8) {
		uint8_t *p = list + at;

		if (!is_crypto_ext(s, g, p))
			continue;
		be32_put(p, EXT_CRYPTO_HEADER);
		be32_put(p + 4, EXT_CRYPTO_HEADER_BYTES);
		if (luks_area(s, be64_get(p + 8), &found))
			be64_put(p + 16, found.header_len);
		return true;
	}
	return false;
}
