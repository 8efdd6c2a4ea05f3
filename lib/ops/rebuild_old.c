/* What is left of the old header: a size, a backing file, extensions. */
#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "ops/rebuild_internal.h"

/* Positions of fields (2.1). */
enum {
	AT_VERSION = 4,
	AT_BACKING = 8,
	AT_BACKING_LEN = 16,
	AT_CLUSTER_BITS = 20,
	AT_SIZE = 24,
	AT_CRYPT = 32,
	AT_L1_SIZE = 36,
	AT_L1_OFF = 40,
	AT_TABLE_OFF = 48,
	AT_TABLE_CLUSTERS = 56,
	AT_SNAPSHOT_NR = 60,
	AT_SNAPSHOTS_OFF = 64,
	AT_INCOMPATIBLE = 72,
	AT_COMPATIBLE = 80,
	AT_AUTOCLEAR = 88,
	AT_ORDER = 96,
	AT_LENGTH = 100,
	AT_COMPRESSION = 104,
};

#define TEXT_MIN     3
#define FLIPPED_BITS 2 /* that a word may have, and is believed all the same */

/* Whether a disk of this size fits the L1 table that was found. */
static bool size_fits(const struct geom *g, const struct rebuild_l1 *l1, uint64_t size)
{
	return size <= FILE_OFFSET_MAX && geom_l1_entries(g, size) <= MAX(l1->room, l1->nr) &&
	       size + geom_cluster_size(g) > l1->mapped_end;
}

/* The bits that we know of a word of features. With more than a few others it is none. */
static uint64_t bits_left(const uint8_t *old, unsigned at, uint64_t known)
{
	uint64_t word = be64_get(old + at);

	return __builtin_popcountll(word & ~known) > FLIPPED_BITS ? 0 : word & known;
}

/* Words that only version 3 has. */
static void features_merge(const struct rebuild *r, uint8_t *old)
{
	const struct header *h = &r->header;
	uint64_t incompatible = bits_left(old, AT_INCOMPATIBLE, INCOMPATIBLE_KNOWN);
	uint64_t autoclear = bits_left(old, AT_AUTOCLEAR, AUTOCLEAR_KNOWN);
	uint32_t length = be32_get(old + AT_LENGTH);

	incompatible &= ~(INCOMPATIBLE_EXTENDED_L2 | INCOMPATIBLE_COMPRESSION);
	incompatible |= h->incompatible_features;
	/* Refused without the other one. */
	if (!(incompatible & INCOMPATIBLE_DATA_FILE))
		autoclear &= ~AUTOCLEAR_DATA_FILE_RAW;
	be64_put(old + AT_INCOMPATIBLE, incompatible);
	be64_put(old + AT_COMPATIBLE, bits_left(old, AT_COMPATIBLE, COMPATIBLE_KNOWN));
	be64_put(old + AT_AUTOCLEAR, autoclear);
	be32_put(old + AT_ORDER, h->refcount_order);
	if (length < HEADER_LENGTH_CURRENT || length % 8 || length > 4096) {
		if (length != HEADER_LENGTH_V3_MIN)
			be32_put(old + AT_LENGTH, HEADER_LENGTH_CURRENT);
	}
	if (be32_get(old + AT_LENGTH) > HEADER_LENGTH_V3_MIN)
		old[AT_COMPRESSION] = h->compression_type;
	else if (h->compression_type)
		be32_put(old + AT_LENGTH, HEADER_LENGTH_CURRENT);
}

static void tables_merge(struct rebuild *r, const struct rebuild_l1 *l1, uint8_t *old)
{
	struct header *h = &r->header;
	uint32_t l1_size = be32_get(old + AT_L1_SIZE);
	uint32_t clusters = be32_get(old + AT_TABLE_CLUSTERS);

	if (be64_get(old + AT_L1_OFF) == h->l1_table_off && l1_size >= h->l1_size &&
	    l1_size <= l1->room) {
		h->l1_size = l1_size;
		r->source[REBUILD_L1] = REBUILD_OLD;
	}
	if (be64_get(old + AT_TABLE_OFF) == h->refcount_table_off &&
	    clusters >= h->refcount_table_clusters &&
	    (uint64_t)clusters << h->cluster_bits <= REFCOUNT_TABLE_BYTES_MAX) {
		h->refcount_table_clusters = clusters;
		r->source[REBUILD_REFCOUNTS] = REBUILD_OLD;
	}
	be32_put(old + AT_L1_SIZE, h->l1_size);
	be64_put(old + AT_L1_OFF, h->l1_table_off);
	be64_put(old + AT_TABLE_OFF, h->refcount_table_off);
	be32_put(old + AT_TABLE_CLUSTERS, h->refcount_table_clusters);
	be32_put(old + AT_SNAPSHOT_NR, h->nb_snapshots);
	be64_put(old + AT_SNAPSHOTS_OFF, h->snapshots_off);
}

static void size_merge(struct rebuild *r, const struct geom *g, const struct rebuild_l1 *l1,
		       uint8_t *old)
{
	struct header *h = &r->header;
	uint64_t size = be64_get(old + AT_SIZE);

	if (r->source[REBUILD_SIZE] != REBUILD_TOLD && size && size_fits(g, l1, size)) {
		h->size = size;
		h->l1_size = (uint32_t)MAX(l1->nr, geom_l1_entries(g, size));
		r->source[REBUILD_SIZE] = REBUILD_OLD;
	}
	be64_put(old + AT_SIZE, h->size);
}

/* Where the list of extensions begins, and how many bytes it may have. */
static uint8_t *list_of(const struct header *h, uint8_t *old, size_t n, size_t *list_n)
{
	size_t at = h->version == 2 ? HEADER_LENGTH_V2 : be32_get(old + AT_LENGTH);
	uint64_t name = be64_get(old + AT_BACKING);

	if (name >= at && name < n)
		n = (size_t)name;
	*list_n = n > at ? n - at : 0;
	return old + at;
}

/* The method goes with the extension. Of legacy AES nothing but the method tells. */
static void crypt_merge(struct rebuild_scan *s, struct rebuild *r, const struct geom *g,
			uint8_t *old, uint8_t *list, size_t n)
{
	uint32_t method = be32_get(old + AT_CRYPT);
	bool sane = r->source[REBUILD_VERSION] == REBUILD_OLD &&
		    r->source[REBUILD_CLUSTER_SIZE] == REBUILD_OLD;

	if (rebuild_crypt_mend(s, g, list, n)) {
		be32_put(old + AT_CRYPT, CRYPT_LUKS);
		r->source[REBUILD_ENCRYPTION] = REBUILD_OLD;
	} else if (method == CRYPT_AES || (method == CRYPT_NONE && sane)) {
		r->source[REBUILD_ENCRYPTION] = REBUILD_OLD;
	} else {
		be32_put(old + AT_CRYPT, CRYPT_NONE);
	}
}

/* Decodes, if need be without the name, and without the extensions. */
static bool old_decode(struct rebuild *r, uint8_t *old, size_t n, struct header *h)
{
	struct err tries[3] = { ERR_INIT, ERR_INIT, ERR_INIT };
	uint8_t *list;
	size_t list_n;

	r->source[REBUILD_NAMES] = REBUILD_OLD;
	if (header_decode(old, n, h, &tries[0]) == 0)
		return true;
	be64_put(old + AT_BACKING, 0);
	be32_put(old + AT_BACKING_LEN, 0);
	if (header_decode(old, n, h, &tries[1]) == 0)
		return true;
	r->source[REBUILD_NAMES] = REBUILD_ASSUMED;
	if (be32_get(old + AT_CRYPT) == CRYPT_LUKS) {
		be32_put(old + AT_CRYPT, CRYPT_NONE);
		r->source[REBUILD_ENCRYPTION] = REBUILD_ASSUMED;
	}
	list = list_of(&r->header, old, n, &list_n);
	memset(list, 0, MIN(list_n, 8));
	return header_decode(old, n, h, &tries[2]) == 0;
}

static void fields_merge(struct rebuild *r, uint8_t *old)
{
	uint32_t version = be32_get(old + AT_VERSION);
	struct header *h = &r->header;

	be32_put(old, QCOW2_MAGIC);
	if (version == 3 ||
	    (version == 2 && h->refcount_order == 4 && !h->incompatible_features)) {
		h->version = version;
		r->source[REBUILD_VERSION] = REBUILD_OLD;
	}
	be32_put(old + AT_VERSION, h->version);
	if (be32_get(old + AT_CLUSTER_BITS) == h->cluster_bits)
		r->source[REBUILD_CLUSTER_SIZE] = REBUILD_OLD;
	be32_put(old + AT_CLUSTER_BITS, h->cluster_bits);
}

bool rebuild_merge_old(struct rebuild_scan *s, struct rebuild *r, const struct rebuild_l1 *l1,
		       uint8_t *old, size_t n)
{
	const struct geom g = header_geom(&r->header);
	struct header *h = &r->header, found;
	uint8_t *list;
	size_t list_n;

	if (n < 8192 && n < UINT64_C(1) << h->cluster_bits)
		return false;
	if (bytes_are_zero(old, HEADER_LENGTH_V3_MIN))
		return false;
	n = (size_t)MIN((uint64_t)n, geom_cluster_size(&g));
	fields_merge(r, old);
	size_merge(r, &g, l1, old);
	tables_merge(r, l1, old);
	if (h->version == 3) {
		features_merge(r, old);
		r->source[REBUILD_FEATURES] = REBUILD_OLD;
	}
	list = list_of(h, old, n, &list_n);
	crypt_merge(s, r, &g, old, list, list_n);
	rebuild_extensions_mend(list, list_n);
	if (!old_decode(r, old, n, &found))
		return false;
	/* Which disk it is that bitmaps speak of nobody knows. */
	if (r->source[REBUILD_L1] != REBUILD_OLD)
		found.autoclear_features &= ~AUTOCLEAR_BITMAPS;
	*h = found;
	return true;
}

/* Names of features, and the format of the backing file, are in every header. */
static bool is_other_text(const uint8_t *text, size_t n)
{
	static const char dirty[] = "dirty bit"; /* bit 0 of the first kind */
	bool feature = text[-2] <= FEATURE_AUTOCLEAR && text[-1] < 64 && (text[-2] || text[-1]);

	return feature || (n >= sizeof dirty - 1 && memcmp(text, dirty, sizeof dirty - 1) == 0) ||
	       be32_get(text - 4) == n;
}

void rebuild_text_left(const uint8_t *old, size_t n, char *out, size_t out_size)
{
	const uint8_t *last = NULL;
	size_t run = 0, last_n = 0;

	out[0] = 0;
	/* Behind the fields; the last one, for the name follows the list. */
	for (size_t i = HEADER_LENGTH_V2; i <= n; i++) {
		if (i < n && old[i] >= 0x20 && old[i] < 0x7f) {
			run++;
			continue;
		}
		if (run >= TEXT_MIN && !is_other_text(old + i - run, run)) {
			last = old + i - run;
			last_n = run;
		}
		run = 0;
	}
	if (last)
		text_escape(last, last_n, out, out_size);
}
