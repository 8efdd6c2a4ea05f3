#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/file.h"

/* Replaces the header of an image by another, durably. `bytes`: the first cluster as the file has
 * it, `size` bytes; it becomes `wanted`, or the same header with its name in another place.
 *
 * A crash leaves the old header or the new one, though a name or a long list reaches beyond the
 * first sector and a device may tear a write between sectors: whatever is changed behind the first
 * sector is nothing that the header in force leads to, and the first sector is written alone, when
 * the rest is in place. Where one such step is not enough, a header in between says what the old one
 * says with its name elsewhere, or without the feature name table. Only when that cannot be done
 * either (lib/README says when) both are written at once, or the change is refused with
 * ERR_UNSUPPORTED if unknown extensions would move. */
int header_store(struct file *f, uint8_t *bytes, const uint8_t *wanted, size_t size,
		 struct err *e) MUST_CHECK;
/* Whether it would be refused. */
int header_store_check(const uint8_t *bytes, const uint8_t *wanted, size_t size,
		       struct err *e) MUST_CHECK;
/* Writes beforehand what nobody looks at yet; header_store() has one flush less to make if there is
 * one after this. */
int header_store_begin(struct file *f, uint8_t *bytes, const uint8_t *wanted, size_t size,
		       struct err *e) MUST_CHECK;
