#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "format/header.h"

/* The judgement half of header_decode(), which alone calls it. */

/* A table of len bytes at a host offset: not longer than max, cluster aligned, end below
 * 2^63. */
int header_table_check(const struct header *h, const char *what, uint64_t offset,
		       uint64_t len, uint64_t max, struct err *e) MUST_CHECK;
/* The ranges of all fields and what they say about each other; n bytes of the first cluster
 * are there. */
int header_fields_check(const struct header *h, size_t n, struct err *e) MUST_CHECK;
