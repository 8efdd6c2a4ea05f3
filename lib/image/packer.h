#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "format/header.h"

/* Compression of clusters, for one thread. level: 0 for the default, else what codec/codec.h
 * says. */
struct packer;
struct packer *packer_new(size_t cluster_size, enum compression_type type, int level,
			  struct err *e);
void packer_free(struct packer *p);
/* *bytes: what packing takes of memory beside `in` and `out`, found by packing a cluster. */
int packer_memory(struct packer *p, size_t *bytes, struct err *e) MUST_CHECK;
/* Packs the cluster `in` into `out`, which has room for a cluster. Returns the packed length, or
 * 0 if the cluster does not get smaller and is to be stored as it is. */
uint32_t packer_pack(struct packer *p, const void *in, void *out);
