#pragma once
#include <stddef.h>
#include <stdint.h>

/* Where the partitions of a disk are: MBR with its logical partitions, or GPT (the backup where the
 * primary one is damaged). For telling people which part of a disk is meant, nothing more. Nothing
 * that is read is trusted; what contradicts itself or the size of the disk is no partition. */

#define PARTITIONS_MAX 128

struct partition {
	unsigned number;     /* as systems count: GPT and primary ones from 1, logical ones from 5 */
	uint64_t start, len; /* bytes, inside the disk, len > 0 */
};

enum partition_table { PARTITIONS_NONE, PARTITIONS_MBR, PARTITIONS_GPT };

struct partitions {
	enum partition_table table;
	unsigned nr;
	struct partition *list; /* by start; owned */
};

/* Reads n bytes at `off`, all inside the disk. Returns -1 if they can't be read. */
typedef int (*partitions_read_fn)(void *arg, uint64_t off, void *buf, size_t n);

/* A disk that can't be read, or memory that is out, is a disk without partitions. */
struct partitions partitions_find(partitions_read_fn read, void *arg, uint64_t disk_size);
void partitions_free(struct partitions *p);
