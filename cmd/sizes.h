#pragma once
#include <stdint.h>

#include "base/err.h"

/* Parses a size as typed, 0..2^63-1 bytes. `name` is what it is a size of: messages begin
 * "Invalid NAME specified". 0x10k is accepted with a warning. */
int size_from_text(const char *name, const char *text, uint64_t *out, struct err *e);
/* The same for a parameter of an option list: messages begin "Parameter 'NAME'". */
int size_from_parameter(const char *name, const char *text, uint64_t *out, struct err *e);
/* A plain count, decimal or with a C-style prefix, min..max. */
int count_from_text(const char *name, const char *text, uint64_t min, uint64_t max,
		    uint64_t *out, struct err *e);
