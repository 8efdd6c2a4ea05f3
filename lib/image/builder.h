#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "image/create.h"

/* Append-only writer of a new image. Nothing is read back and no metadata block is written
 * twice: an L2 table or refcount block goes to the file when it is final, the header goes
 * last, so that half a conversion is a file without a magic number. Guest offsets come in
 * rising order. The host places depend on the calls alone, never on threads.
 *
 * One thread at a time, except builder_write(). */
struct builder;

/* `f`: created or truncated, open for writing; not taken over. */
struct builder *builder_new(struct file *f, const struct create_options *o, struct err *e);
void builder_free(struct builder *b);

uint64_t builder_cluster_size(const struct builder *b);
/* Smallest unit that the L2 tables can tell apart: a cluster, or a subcluster. */
uint64_t builder_unit(const struct builder *b);

/* Assigns host places to the guest bytes guest .. guest+len-1 (unit aligned, except at the
 * end of the disk; not crossing a cluster boundary unless it begins and ends on one), which the caller
 * then writes with builder_write(). *host: the place of the first byte; *run: how many bytes
 * (1..len) lie contiguously there; ask again for the rest. */
int builder_assign(struct builder *b, uint64_t guest, uint64_t len, uint64_t *host,
		   uint64_t *run, struct err *e) MUST_CHECK;
/* Writes payload at the place that was assigned to `guest`. Any thread. In an encrypted image all of
 * a unit must be written, zeros too, in whole sectors; buf holds anything afterwards. */
int builder_write(struct builder *b, uint64_t guest, uint64_t host, void *buf, size_t n,
		  struct err *e) MUST_CHECK;
/* Whether the image is encrypted: compressed clusters cannot be stored then. */
bool builder_encrypts(const struct builder *b);
/* Stores one compressed cluster of n bytes (1..cluster size - 1). */
int builder_put_packed(struct builder *b, uint64_t guest, const void *packed, uint32_t n,
		       struct err *e) MUST_CHECK;
/* Marks unit-aligned guest bytes as zeros. Needed only where a backing file would show. */
int builder_put_zero(struct builder *b, uint64_t guest, uint64_t len,
		     struct err *e) MUST_CHECK;

enum builder_durability {
	BUILD_LAZY,    /* nothing is flushed */
	BUILD_FLUSHED, /* one flush when all is written: for an image that holds no data yet */
	BUILD_ORDERED, /* all is durable before the header is; then the header and the names */
};

/* Writes what is left, the header last. */
int builder_finish(struct builder *b, enum builder_durability how, struct err *e) MUST_CHECK;
/* After that: whether it made an external data file that was not there before. */
bool builder_made_data_file(const struct builder *b);
