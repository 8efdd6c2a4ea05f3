#include "io/file_fault.h"

#include "config.h"

#if !WITH_FAULT

struct file *file_fault_wrap(struct file *f, struct err *e)
{
	return f;
}

#else

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "io/file_internal.h"

/* QCOW2_FAULT names one fault, counted over all files of the process:
 *
 *   error:OP:N      the Nth OP (read, write, flush) fails
 *   short:write:N   the Nth write stores half of its bytes, then fails
 *   nospace:BYTES   writes that would store more than BYTES in sum fail
 *   crash:OP:N      the process ends instead of the Nth OP
 *
 * Zeroing, reserving and changing the length count as writes. */
enum fault_kind { FAULT_NONE, FAULT_ERROR, FAULT_SHORT, FAULT_NOSPACE, FAULT_CRASH };
enum fault_op { OP_READ, OP_WRITE, OP_FLUSH };

static struct {
	pthread_mutex_t lock;
	bool parsed;
	enum fault_kind kind;
	enum fault_op op;
	uint64_t nr;	/* which one, or the bytes left */
	uint64_t count; /* operations so far */
} fault = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct file_fault {
	struct file file;
	struct file *inner;
};

static struct file *inner_of(struct file *f)
{
	return ((struct file_fault *)f)->inner;
}

static const char *skip_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	return strncmp(text, word, n) ? NULL : text + n;
}

static void fault_parse(const char *text)
{
	static const struct {
		const char *word;
		enum fault_kind kind;
		enum fault_op op;
	} forms[] = {
		{ "error:read:", FAULT_ERROR, OP_READ },
		{ "error:write:", FAULT_ERROR, OP_WRITE },
		{ "error:flush:", FAULT_ERROR, OP_FLUSH },
		{ "short:write:", FAULT_SHORT, OP_WRITE },
		{ "nospace:", FAULT_NOSPACE, OP_WRITE },
		{ "crash:write:", FAULT_CRASH, OP_WRITE },
		{ "crash:flush:", FAULT_CRASH, OP_FLUSH },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		const char *number = skip_word(text, forms[i].word);

		if (number) {
			fault.kind = forms[i].kind;
			fault.op = forms[i].op;
			fault.nr = strtoull(number, NULL, 10);
		}
	}
}

/* What happens to this operation: FAULT_NONE, FAULT_ERROR, FAULT_SHORT or FAULT_NOSPACE. */
static enum fault_kind fault_next(enum fault_op op, uint64_t len)
{
	LOCKED(&fault.lock);
	if (fault.kind == FAULT_NONE || fault.op != op)
		return FAULT_NONE;
	if (fault.kind == FAULT_NOSPACE) {
		if (len > fault.nr)
			return FAULT_NOSPACE;
		fault.nr -= len;
		return FAULT_NONE;
	}
	if (++fault.count != fault.nr)
		return FAULT_NONE;
	if (fault.kind == FAULT_CRASH)
		_exit(FAULT_EXIT);
	return fault.kind;
}

static int fault_fail(enum fault_kind kind, const char *what, uint64_t off, struct err *e)
{
	return err_os(e, kind == FAULT_NOSPACE ? ENOSPC : EIO, "%s at offset %llu", what,
		      (unsigned long long)off);
}

static int fault_read(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		      struct err *e)
{
	enum fault_kind kind = fault_next(OP_READ, n);

	if (kind != FAULT_NONE)
		return fault_fail(kind, "read", off, e);
	return inner_of(f)->ops->read(inner_of(f), off, buf, n, got, e);
}

static int fault_write(struct file *f, uint64_t off, const void *buf, size_t n,
		       struct err *e)
{
	enum fault_kind kind = fault_next(OP_WRITE, n);

	if (kind == FAULT_SHORT && n > 1 &&
	    inner_of(f)->ops->write(inner_of(f), off, buf, n / 2, e) < 0)
		return -1;
	if (kind != FAULT_NONE)
		return fault_fail(kind, "write", off, e);
	return inner_of(f)->ops->write(inner_of(f), off, buf, n, e);
}

static int fault_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
		      struct err *e)
{
	enum fault_kind kind = fault_next(OP_WRITE, how == FILE_ZERO_PUNCH ? 0 : len);

	if (kind != FAULT_NONE)
		return fault_fail(kind, "zero", off, e);
	atomic_store(&inner_of(f)->size, file_size(f));
	return inner_of(f)->ops->zero(inner_of(f), off, len, how, e);
}

static void fault_discard(struct file *f, uint64_t off, uint64_t len)
{
	inner_of(f)->ops->discard(inner_of(f), off, len);
}

static int fault_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	enum fault_kind kind = fault_next(OP_WRITE, len);

	if (kind != FAULT_NONE)
		return fault_fail(kind, "reserve", off, e);
	return inner_of(f)->ops->allocate(inner_of(f), off, len, e);
}

static int fault_truncate(struct file *f, uint64_t size, struct err *e)
{
	enum fault_kind kind = fault_next(OP_WRITE, 0);

	if (kind != FAULT_NONE)
		return fault_fail(kind, "set the file length", size, e);
	return inner_of(f)->ops->truncate(inner_of(f), size, e);
}

static int fault_flush(struct file *f, struct err *e)
{
	enum fault_kind kind = fault_next(OP_FLUSH, 0);

	if (kind != FAULT_NONE)
		return fault_fail(kind, "flush", 0, e);
	return inner_of(f)->ops->flush(inner_of(f), e);
}

static int fault_resample(struct file *f, struct err *e)
{
	if (inner_of(f)->ops->resample(inner_of(f), e) < 0)
		return -1;
	atomic_store(&f->size, file_size(inner_of(f)));
	return 0;
}

static bool fault_next_data(struct file *f, uint64_t off, uint64_t *data, uint64_t *hole)
{
	return inner_of(f)->ops->next_data(inner_of(f), off, data, hole);
}

static int fault_close(struct file *f, struct err *e)
{
	int ret = file_close(inner_of(f), e);

	free(f);
	return ret;
}

static const struct file_ops file_fault_ops = {
	.read = fault_read,
	.write = fault_write,
	.zero = fault_zero,
	.discard = fault_discard,
	.allocate = fault_allocate,
	.truncate = fault_truncate,
	.flush = fault_flush,
	.resample = fault_resample,
	.next_data = fault_next_data,
	.close = fault_close,
};

struct file *file_fault_wrap(struct file *f, struct err *e)
{
	const char *text = getenv("QCOW2_FAULT");

	if (!text)
		return f;
	struct file_fault *ff = calloc(1, sizeof *ff);

	if (!ff) {
		file_drop(f);
		err_nomem(e);
		return NULL;
	}
	LOCKED(&fault.lock);
	if (!fault.parsed)
		fault_parse(text);
	fault.parsed = true;
	/* The wrapper shows the inner file's face and borrows its path and descriptor. */
	ff->file.path = f->path;
	ff->file.flags = f->flags;
	ff->file.fd = f->fd;
	ff->file.regular = f->regular;
	ff->file.device = f->device;
	ff->file.inode = f->inode;
	atomic_store(&ff->file.size, file_size(f));
	ff->file.ops = &file_fault_ops;
	ff->inner = f;
	return &ff->file;
}

#endif
