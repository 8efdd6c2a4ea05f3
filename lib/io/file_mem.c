#include "io/file_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/cleanup.h"

/* A file in memory. Growing is by truncate or by writing behind the end; a limit keeps a
 * hostile image from claiming more than a test machine has. */
#define MEM_MAX ((uint64_t)1 << 30)

struct file_mem {
	struct file file;
	pthread_mutex_t lock; /* guards bytes and room; file.size is atomic by itself */
	uint8_t *bytes;
	size_t room;
};

static struct file_mem *mem_of(struct file *f)
{
	return (struct file_mem *)f;
}

static int mem_resize_locked(struct file *f, uint64_t size, struct err *e)
{
	struct file_mem *m = mem_of(f);
	uint64_t old = file_size(f);

	if (size > MEM_MAX)
		return err_set(e, ERR_IO, "a memory file has at most %llu bytes",
			       (unsigned long long)MEM_MAX);
	if (size > m->room) {
		size_t room = (size_t)MAX(size, MIN((uint64_t)m->room * 2, MEM_MAX));
		uint8_t *more = realloc(m->bytes, room);

		if (!more)
			return err_nomem(e);
		m->bytes = more;
		m->room = room;
	}
	if (size > old)
		memset(m->bytes + old, 0, (size_t)(size - old));
	atomic_store(&f->size, size);
	return 0;
}

static int mem_read(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		    struct err *e)
{
	LOCKED(&mem_of(f)->lock);
	uint64_t size = file_size(f);

	*got = off < size ? (size_t)MIN((uint64_t)n, size - off) : 0;
	if (*got)
		memcpy(buf, mem_of(f)->bytes + off, *got);
	return 0;
}

static int mem_write(struct file *f, uint64_t off, const void *buf, size_t n, struct err *e)
{
	LOCKED(&mem_of(f)->lock);

	if (off + n > file_size(f) && mem_resize_locked(f, off + n, e) < 0)
		return -1;
	memcpy(mem_of(f)->bytes + off, buf, n);
	return 0;
}

static int mem_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
		    struct err *e)
{
	return 0; /* zeros are written */
}

static void mem_discard(struct file *f, uint64_t off, uint64_t len)
{
}

static int mem_truncate(struct file *f, uint64_t size, struct err *e)
{
	LOCKED(&mem_of(f)->lock);
	return mem_resize_locked(f, size, e);
}

static int mem_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	return off + len > file_size(f) ? mem_truncate(f, off + len, e) : 0;
}

static int mem_flush(struct file *f, struct err *e)
{
	return 0;
}

static bool mem_next_data(struct file *f, uint64_t off, uint64_t *data, uint64_t *hole)
{
	return false;
}

static int mem_close(struct file *f, struct err *e)
{
	pthread_mutex_destroy(&mem_of(f)->lock);
	free(mem_of(f)->bytes);
	free(f);
	return 0;
}

static const struct file_ops file_mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.zero = mem_zero,
	.discard = mem_discard,
	.allocate = mem_allocate,
	.truncate = mem_truncate,
	.flush = mem_flush,
	.resample = mem_flush,
	.next_data = mem_next_data,
	.close = mem_close,
};

struct file *file_mem_new(const void *bytes, size_t n, struct err *e)
{
	struct file_mem *m = calloc(1, sizeof *m);

	if (!m) {
		err_nomem(e);
		return NULL;
	}
	m->file.ops = &file_mem_ops;
	m->file.flags = FILE_WRITE;
	m->file.fd = -1;
	pthread_mutex_init(&m->lock, NULL);
	if (mem_resize_locked(&m->file, n, e) < 0) {
		file_drop(&m->file);
		return NULL;
	}
	if (n)
		memcpy(m->bytes, bytes, n);
	return &m->file;
}
