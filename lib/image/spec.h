#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "io/file.h"

enum image_format { FORMAT_PROBE, FORMAT_RAW, FORMAT_QCOW2 };

struct luks_key;

/* How an image is named by the person at the prompt: a plain path, or the parsed form of
 * --image-opts and json:{...}. cmd/ makes it; image/ opens it. Strings and nested specs are
 * owned by the spec. Zero-initialise; spec_fini() accepts that state. */
struct spec {
	char *name;	       /* as typed: for messages */
	char *path;	       /* the protocol file; NULL in `backing`: the one that the header
				* of the image in front names */
	enum image_format format;
	bool is_file;	       /* RAW, and said to be a mere file */
	bool force_share;      /* -U, force-share=on */
	bool read_only;
	enum file_locking locking;
	bool direct, no_flush; /* cache.direct, cache.no-flush */
	bool direct_only;      /* where `direct` is not possible, fail */
	uint64_t window_off, window_len; /* raw only: bytes; len 0 with has_window_len unset = rest */
	bool has_window_len;
	bool no_backing;       /* backing= : open without the chain */
	struct spec *backing;  /* explicit override, or NULL: what the header says */
	struct spec *data_file; /* explicit override */
	/* What opens it if it is encrypted, and what opens it and the layers behind it where they have
	 * none of their own. Borrowed; p is NULL: none. */
	struct bytes secret, chain_secret;
	/* NULL, or what keeps its master key from one opening to the next: found NULL, it gets the key;
	 * else that key opens it, whatever the passphrases are by then. LUKS only. Borrowed; the key
	 * is the caller's, for secret_free(). */
	struct luks_key **master;
	char *secret_id;       /* as the secret was named; NULL: it was not */
	bool has_encryption;   /* encrypt.format says that it is encrypted ... */
	bool is_luks;	       /* ... with LUKS, or else legacy AES */
};

void spec_fini(struct spec *s);
/* A spec for a plain path. False when memory is out. */
bool spec_path(struct spec *s, const char *path, enum image_format format);

/* Whether what it says goes with being written to. */
int spec_write_check(const struct spec *s, struct err *e) MUST_CHECK;
/* Whether the window lies in a file of this length, and ends with a sector. */
int spec_window_check(const struct spec *s, uint64_t file_len, struct err *e) MUST_CHECK;

/* What file_open() is to be told. NULL: nothing special. */
unsigned spec_file_flags(const struct spec *s);

const char *format_name(enum image_format format);
/* "raw" and "qcow2"; false for anything else. */
bool format_by_name(const char *name, enum image_format *out);
/* The format of the open file that `s` names: what the spec says, else what the first bytes of
 * the file show. Formats that we recognise but do not do are ERR_UNSUPPORTED, with their name. */
int spec_find_format(const struct spec *s, struct file *f, enum image_format *format,
		     struct err *e) MUST_CHECK;

/* From the first bytes of a file: FORMAT_QCOW2, FORMAT_RAW, or NULL-terminated name of a
 * format that we recognise but do not implement in *foreign (D-3). */
enum image_format format_probe(const void *start, size_t n, const char **foreign);
#define FORMAT_PROBE_BYTES 2048
