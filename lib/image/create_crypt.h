#pragma once
#include "image/create.h"
#include "image/image_cipher.h"

/* What encryption adds to a new image. */

struct luks_options;

/* What the words mean; refuses those that mean nothing, or do not go together. Not for legacy AES. */
int create_luks_options(const struct create_encryption *c, struct luks_options *o,
			struct err *e) MUST_CHECK;
/* Whether the encryption goes with the rest. */
int create_encryption_check(const struct create_options *o, struct err *e) MUST_CHECK;
/* Bytes of the LUKS header and its key slots; 0 without LUKS. For options that were checked. */
uint64_t create_luks_len(const struct create_options *o);
/* Makes the key, and with LUKS writes the header and one key slot at `off` of the file. */
int create_cipher(const struct create_encryption *c, struct file *f, uint64_t off,
		  struct image_cipher *out, struct err *e) MUST_CHECK;
