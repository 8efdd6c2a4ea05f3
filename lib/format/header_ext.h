#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* Header extensions (3). Decoding walks the list in place; nothing is allocated. */
#define EXT_END		   0x00000000u
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_FEATURE_TABLE  0x6803f857u
#define EXT_BITMAPS	   0x23852875u
#define EXT_CRYPTO_HEADER  0x0537be77u
#define EXT_DATA_FILE	   0x44415441u /* "DATA" */

#define EXT_HEADER_BYTES	8 /* type and length, in front of the data */
#define EXT_BITMAPS_BYTES	24
#define EXT_CRYPTO_HEADER_BYTES 16

struct header_ext {
	uint32_t type;
	struct bytes data; /* without padding; points into the caller's header cluster */
};

/* One step of the walk: decodes the extension at the cursor, padding skipped. Returns 1 with
 * *x filled, 0 at the end of the list (an end marker, or no byte left), -1 when the extension
 * does not fit before the cursor's end ("extension too large" class: ERR_CORRUPT). */
int header_ext_next(struct rd *r, struct header_ext *x, struct err *e) MUST_CHECK;
/* The same for types that are not defined above; the others are passed over. */
int header_ext_next_unknown(struct rd *r, struct header_ext *x, struct err *e) MUST_CHECK;
/* Writes one extension with its padding; type EXT_END writes the end marker. */
void header_ext_encode(struct wr *w, const struct header_ext *x);

/* bitmaps extension (9.1) */
struct bitmaps_ext {
	uint32_t nr;		/* 1..BITMAPS_MAX */
	uint64_t directory_len; /* bytes, 1..BITMAP_DIRECTORY_BYTES_MAX */
	uint64_t directory_off; /* cluster aligned (checked by header_decode), not 0 */
};

int bitmaps_ext_decode(struct bytes data, struct bitmaps_ext *b, struct err *e) MUST_CHECK;
void bitmaps_ext_encode(struct wr *w, const struct bitmaps_ext *b);

/* crypto header pointer (7.3) */
struct crypto_ext {
	uint64_t header_off; /* cluster aligned (checked by header_decode), not 0 */
	uint64_t header_len; /* bytes */
};

int crypto_ext_decode(struct bytes data, struct crypto_ext *c, struct err *e) MUST_CHECK;
void crypto_ext_encode(struct wr *w, const struct crypto_ext *c);

/* feature name table (3.3): 48-byte entries */
#define FEATURE_ENTRY_BYTES 48
#define FEATURE_NAME_BYTES  46

enum feature_word { FEATURE_INCOMPATIBLE, FEATURE_COMPATIBLE, FEATURE_AUTOCLEAR };

/* The name that the table gives to a bit, not terminated and not to be trusted (escape it
 * before it is shown); .n is 0 when the table has none. */
struct bytes feature_table_find(struct bytes table, enum feature_word word, unsigned bit);
/* The table that we write: eight entries, in the order of (3.3). */
#define FEATURE_TABLE_BYTES (8 * FEATURE_ENTRY_BYTES)
void feature_table_encode(struct wr *w);
