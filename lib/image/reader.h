#pragma once
#include "image/internal.h"

/* Reads the compressed cluster that `run` begins with (map_next() at `guest` gave it) and
 * copies what of [guest, guest + n) lies in it: *done bytes. Keeps the cluster, since the
 * next request may want its rest. */
int reader_unpack(struct disk_reader *r, struct disk *d, uint64_t guest,
		  const struct map_run *run, void *buf, size_t n, size_t *done, struct err *e);
/* What was unpacked last is not to be trusted any more: its place may hold something else. */
void reader_forget(struct disk_reader *r);
/* Reads from the file that holds the guest clusters of an image layer: what is at `host`, for the
 * guest at `guest`, and decrypted. */
int disk_read_host(struct disk *d, uint64_t guest, uint64_t host, void *buf, size_t n,
		   struct err *e);

/* Reads from `guest` on what this layer itself holds: fills *done bytes (1..n). *absent: the
 * layer says nothing about them, and buf was not touched. Any thread. */
int disk_read_image(struct disk *d, struct disk_reader *r, uint64_t guest, void *buf, size_t n,
		    size_t *done, bool *absent, struct err *e);
