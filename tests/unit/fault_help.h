#pragma once
/* A process that is ended by a fault, and what can be seen of its files afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "io/file_fault.h"

#define SECTOR 512
#define MOST_BYTES (64 * SECTOR)

/* In the process that is to end: what is no fault has to work. */
static inline void must(bool good)
{
	if (!good)
		_exit(1);
}

static inline struct file *opened(const char *name, unsigned flags)
{
	struct err e = ERR_INIT;
	struct file *f = file_open(name, FILE_WRITE | flags, &e);

	must(f != NULL);
	return f;
}

/* Sectors may be fractions: 1.5 is byte 768. */
static inline void put(struct file *f, double sector, double nr, uint8_t value)
{
	struct err e = ERR_INIT;
	uint8_t bytes[MOST_BYTES];

	memset(bytes, value, sizeof bytes);
	must(file_write_at(f, (uint64_t)(sector * SECTOR), bytes, (size_t)(nr * SECTOR),
			   &e) == 0);
}

static inline void cut(struct file *f, double sectors)
{
	struct err e = ERR_INIT;

	must(file_truncate(f, (uint64_t)(sectors * SECTOR), &e) == 0);
}

static inline void flush(struct file *f)
{
	struct err e = ERR_INIT;

	must(file_flush(f, &e) == 0);
}

/* Runs `work` in a process of its own and returns its exit status: 0 if nothing ends it. */
static inline int status_with(const char *fault, void (*work)(void))
{
	int status = -1;

	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		setenv("QCOW2_FAULT", fault, 1);
		work();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* `fault` lacks its seed. */
static inline bool crashes_with_seed(const char *fault, unsigned seed, void (*work)(void))
{
	char whole[64];

	snprintf(whole, sizeof whole, "%s:%u", fault, seed);
	return status_with(whole, work) == FAULT_EXIT;
}

static inline bool file_made(const char *name, const uint8_t *bytes, size_t n)
{
	FILE *to = fopen(name, "wb");
	bool good = to && fwrite(bytes, 1, n, to) == n;

	return to && fclose(to) == 0 && good;
}

static inline bool file_filled(const char *name, double sectors, uint8_t value)
{
	uint8_t bytes[MOST_BYTES];

	memset(bytes, value, sizeof bytes);
	return file_made(name, bytes, (size_t)(sectors * SECTOR));
}

/* "a" with 16.25 sectors of 'o'. */
static inline void old_file_make(void)
{
	if (!file_filled("a", 16.25, 'o'))
		abort();
}

/* What a file holds, with zeros behind its end. */
struct content {
	uint8_t bytes[MOST_BYTES];
	size_t n;
};

static inline struct content content_of(const char *name)
{
	struct content c = { 0 };
	FILE *from = fopen(name, "rb");

	if (from) {
		c.n = fread(c.bytes, 1, sizeof c.bytes, from);
		fclose(from);
	}
	return c;
}

static inline bool is_all(const struct content *c, double sector, double nr, uint8_t value)
{
	size_t at = (size_t)(sector * SECTOR), end = (size_t)((sector + nr) * SECTOR);

	for (; at < end; at++)
		if (c->bytes[at] != value)
			return false;
	return true;
}

/* As far as the first one goes. */
static inline bool sector_same(const struct content *a, const struct content *b, size_t nr)
{
	size_t at = nr * SECTOR, n = a->n > at ? a->n - at : 0;

	return memcmp(a->bytes + at, b->bytes + at, n < SECTOR ? n : SECTOR) == 0;
}
