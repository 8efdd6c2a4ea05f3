#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes *n characters of base64 (RFC 4648) in place, padding required, line ends allowed anywhere.
 * False: that is not what they are, and the bytes are anything. */
bool base64_decode(uint8_t *text, size_t *n);
