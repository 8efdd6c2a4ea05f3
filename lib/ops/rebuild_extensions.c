/* The list of extensions of an old header: one that is damaged must not take the others
 * with it. */
#include <string.h>

#include "ops/rebuild_internal.h"

/* An extension of a type that we know, of a length that it can have. */
static bool is_known(const uint8_t *p, size_t left)
{
	uint32_t len = be32_get(p + 4);

	if (len > left - 8)
		return false;
	switch (be32_get(p)) {
	case EXT_BACKING_FORMAT:
		return len && len <= BACKING_FORMAT_MAX;
	case EXT_FEATURE_TABLE:
		return len && len % FEATURE_ENTRY_BYTES == 0;
	case EXT_BITMAPS:
		return len == EXT_BITMAPS_BYTES;
	case EXT_CRYPTO_HEADER:
		return len == EXT_CRYPTO_HEADER_BYTES;
	case EXT_DATA_FILE:
		return len && len <= BACKING_NAME_MAX;
	default:
		return false;
	}
}

/* Where the first extension at or behind `at` begins that we know; n if there is none. */
static size_t known_from(const uint8_t *list, size_t n, size_t at)
{
	for (; at + 8 <= n; at += 8)
		if (is_known(list + at, n - at))
			return at;
	return n;
}

/* Its length with the padding; 0: it does not fit, or swallows one that we know. */
static size_t step(const uint8_t *list, size_t n, size_t at)
{
	uint64_t len = align_up((uint64_t)be32_get(list + at + 4), 8) + 8;

	if (len > n - at)
		return 0;
	if (!is_known(list + at, n - at) &&
	    known_from(list, (size_t)(at + len), at + 8) < at + len)
		return 0;
	return (size_t)len;
}

bool rebuild_extensions_mend(uint8_t *list, size_t n)
{
	bool changed = false;
	size_t at = 0, len;

	while (at + 8 <= n && be32_get(list + at) != EXT_END) {
		len = step(list, n, at);
		if (len) {
			at += len;
			continue;
		}
		size_t next = known_from(list, n, at + 8);

		/* What follows takes its place. */
		memmove(list + at, list + next, n - next);
		memset(list + at + (n - next), 0, next - at);
		changed = true;
	}
	return changed;
}
