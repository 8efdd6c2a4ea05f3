#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "format/header.h"
#include "image/spec.h"

enum preallocation { PREALLOCATION_OFF, PREALLOCATION_METADATA, PREALLOCATION_FALLOC,
		     PREALLOCATION_FULL };

/* How a new image is encrypted. All zeros: it is not. */
struct create_encryption {
	enum crypt_method method;
	struct bytes passphrase;
	/* LUKS only, as creation keys spell them; NULL, 0: the default */
	const char *cipher_alg, *cipher_mode, *ivgen_alg, *ivgen_hash_alg, *hash_alg;
	uint64_t iter_ms;
	/* PBKDF2 iterations, if they were measured (create_encryption_measure()); 0: not yet */
	uint32_t slot_iterations, digest_iterations;
	const struct watch *watch; /* stops deriving keys; may be NULL */
};

/* What a new image is to be: the creation keys of cli.md 10, checked by cmd/ and again by
 * create_check(). Strings are borrowed. */
struct create_options {
	uint64_t size;		   /* bytes, a multiple of 512 */
	unsigned version;	   /* 2 or 3 */
	unsigned cluster_bits;	   /* 9..21 */
	unsigned refcount_order;   /* 0..6 */
	bool extended_l2, lazy_refcounts;
	enum compression_type compression;
	enum preallocation preallocation;
	const char *backing_name, *backing_format; /* NULL: none */
	const char *data_file;	   /* as stored in the header; NULL: none */
	bool data_file_raw, keep_data_file;
	bool nocow;		   /* ask the file system for no copy-on-write */
	struct create_encryption encryption;
	uint32_t extent_size_hint; /* ask it to take space in pieces of this many bytes; 0: don't */
	const struct watch *watch; /* stops preallocation and the writing of tables; may be NULL */
};

#define CREATE_OPTIONS_DEFAULT                                                             \
	(struct create_options)                                                            \
	{                                                                                  \
		.version = 3, .cluster_bits = 16, .refcount_order = 4,                     \
		.extent_size_hint = 1 << 20                                                \
	}

/* Refuses combinations that the format or the contract forbids, and headers that do not fit into
 * their cluster, with the reason. */
int create_check(const struct create_options *o, struct err *e) MUST_CHECK;

/* Finds how many PBKDF2 iterations iter_ms asks for. ERR_INVALID: too many. For options that were
 * checked. Takes some time, which creating the image need not take again. */
int create_encryption_measure(struct create_encryption *c, struct err *e) MUST_CHECK;

/* Makes an empty image in a file that was just created or truncated by the caller (open for
 * writing). The external data file is opened, and created or truncated, here. */
int create_image(struct file *f, const struct create_options *o, struct err *e) MUST_CHECK;

/* The size formula (18): file sizes in bytes of an image with these options that stores
 * `data_len` bytes of data clusters. */
struct create_measure {
	uint64_t required, fully_allocated;
};
int create_measure(const struct create_options *o, uint64_t data_len,
		   struct create_measure *m, struct err *e) MUST_CHECK;
