#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/file.h"

/* A long row of bits, of which long stretches are alike: what a bitmap of the image holds. It is
 * cut into pages of a cluster. A page that is all zeros or all ones takes no memory for its bits,
 * and one that is in the file none until it is changed. */
#define BITS_ZEROS UINT64_C(0)
#define BITS_ONES  UINT64_C(1)

struct bits_page {
	uint64_t stored; /* BITS_ZEROS, BITS_ONES, or where its bytes are in the file */
	uint8_t *mem;	 /* what it is instead; NULL: as stored */
};

struct bits {
	struct file *file; /* borrowed */
	uint64_t nr;	   /* bits */
	unsigned page_bits; /* log2 of the bytes in a page */
	struct bits_page *pages;
	uint64_t page_nr;
	uint64_t mem_nr; /* pages that have `mem` */
	uint8_t *buf; /* one page as it is in the file: buf_page, if that is < page_nr; NULL: none
		       * was asked for yet */
	uint64_t buf_page;
};

/* All zeros. A struct that is all zero bytes may be given to bits_fini(). */
int bits_init(struct bits *b, struct file *f, uint64_t nr, unsigned page_bits,
	      struct err *e) MUST_CHECK;
void bits_fini(struct bits *b);

/* All bits become `one`. */
int bits_fill(struct bits *b, bool one, struct err *e) MUST_CHECK;
/* Sets bits first .. end-1, all below nr. */
int bits_set(struct bits *b, uint64_t first, uint64_t end, struct err *e) MUST_CHECK;
/* The next stretch of ones, *first .. *end-1, at or behind bit `from`; *first = *end = nr if there
 * is none. */
int bits_next(struct bits *b, uint64_t from, uint64_t *first, uint64_t *end,
	      struct err *e) MUST_CHECK;
/* Sets the bits that are set in `from`, which has as many of them. */
int bits_or(struct bits *b, struct bits *from, struct err *e) MUST_CHECK;

/* What a page is: BITS_ZEROS, BITS_ONES or else anything, and then the 1 << page_bits bytes, which
 * stay until the next call. Bits behind the last are zeros, if it was changed. */
int bits_page_get(struct bits *b, uint64_t page, uint64_t *kind, const uint8_t **bytes,
		  struct err *e) MUST_CHECK;
