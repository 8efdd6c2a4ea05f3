#include "io/file_fault.h"

#include "config.h"

#if !WITH_FAULT

struct file *file_fault_wrap(struct file *f, struct err *e)
{
	return f;
}

size_t file_fault_waiting(size_t usual)
{
	return usual;
}

#else

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "io/fault_plan.h"
#include "io/fault_undo.h"
#include "io/file_internal.h"

/* Carries out what QCOW2_FAULT says; fault_plan.h tells how it is written. */
struct file_fault {
	struct file file;
	struct file *inner;
	struct file_fault *next;
	struct fault_undo undo;
};

static struct {
	pthread_mutex_t lock; /* guards all of this and every undo */
	bool parsed;
	struct fault_plan plan;
	struct file_fault *undone; /* open files that the crash may change */
	uint64_t undone_nr;	   /* how many there have been */
} fault = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct file *inner_of(struct file *f)
{
	return ((struct file_fault *)f)->inner;
}

static struct fault_undo *undo_of(struct file *f)
{
	return &((struct file_fault *)f)->undo;
}

static void crash_locked(void)
{
	for (struct file_fault *ff = fault.undone; ff; ff = ff->next)
		undo_crash(&ff->undo, &fault.plan);
	_exit(FAULT_EXIT);
}

/* One operation. Where a crash will put content back, it holds the lock to its end: nothing
 * may be written between a look at what was there and the write, nor once the crash began.
 */
struct turn {
	enum fault_kind kind; /* never FAULT_CRASH or FAULT_STOP */
	bool locked;
};

static struct turn turn_begin(enum fault_op op, uint64_t len)
{
	struct turn t;

	pthread_mutex_lock(&fault.lock);
	t.kind = fault_plan_next(&fault.plan, op, len);
	if (t.kind == FAULT_CRASH)
		crash_locked();
	if (t.kind == FAULT_STOP) {
		raise(SIGTERM);
		t.kind = FAULT_NONE;
	}
	t.locked = fault_plan_loses(&fault.plan);
	if (!t.locked)
		pthread_mutex_unlock(&fault.lock);
	return t;
}

static void turn_end(struct turn *t)
{
	if (t->locked)
		pthread_mutex_unlock(&fault.lock);
}

/* Ends with the scope. */
#define TURN __attribute__((cleanup(turn_end), unused)) struct turn

static int fault_fail(enum fault_kind kind, const char *what, uint64_t off, struct err *e)
{
	return err_os(e, kind == FAULT_NOSPACE ? ENOSPC : EIO, "%s at offset %llu", what,
		      (unsigned long long)off);
}

static int fault_read(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		      struct err *e)
{
	TURN t = turn_begin(OP_READ, n);

	if (t.kind != FAULT_NONE)
		return fault_fail(t.kind, "read", off, e);
	return inner_of(f)->ops->read(inner_of(f), off, buf, n, got, e);
}

static int fault_write(struct file *f, uint64_t off, const void *buf, size_t n,
		       struct err *e)
{
	TURN t = turn_begin(OP_WRITE, n);

	if (t.kind == FAULT_SHORT && n > 1 &&
	    inner_of(f)->ops->write(inner_of(f), off, buf, n / 2, e) < 0)
		return -1;
	if (t.kind != FAULT_NONE)
		return fault_fail(t.kind, "write", off, e);
	undo_keep(undo_of(f), off, n);
	if (inner_of(f)->ops->write(inner_of(f), off, buf, n, e) < 0)
		return -1;
	if (f->flags & FILE_SYNC_WRITES)
		undo_forget(undo_of(f));
	return 0;
}

static int fault_zero(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
		      struct err *e)
{
	TURN t = turn_begin(OP_WRITE, how == FILE_ZERO_PUNCH ? 0 : len);

	if (t.kind != FAULT_NONE)
		return fault_fail(t.kind, "zero", off, e);
	undo_keep_data(undo_of(f), off, len);
	atomic_store(&inner_of(f)->size, file_size(f));
	return inner_of(f)->ops->zero(inner_of(f), off, len, how, e);
}

static void fault_discard(struct file *f, uint64_t off, uint64_t len)
{
	TURN t = turn_begin(OP_OTHER, len);

	undo_keep_data(undo_of(f), off, len);
	inner_of(f)->ops->discard(inner_of(f), off, len);
}

static int fault_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e)
{
	TURN t = turn_begin(OP_WRITE, len);

	if (t.kind != FAULT_NONE)
		return fault_fail(t.kind, "reserve", off, e);
	return inner_of(f)->ops->allocate(inner_of(f), off, len, e);
}

static int fault_truncate(struct file *f, uint64_t size, struct err *e)
{
	TURN t = turn_begin(OP_WRITE, 0);

	if (t.kind != FAULT_NONE)
		return fault_fail(t.kind, "set the file length", size, e);
	undo_keep_tail(undo_of(f), size);
	return inner_of(f)->ops->truncate(inner_of(f), size, e);
}

static int fault_flush(struct file *f, struct err *e)
{
	TURN t = turn_begin(OP_FLUSH, 0);

	if (t.kind != FAULT_NONE)
		return fault_fail(t.kind, "flush", 0, e);
	if (inner_of(f)->ops->flush(inner_of(f), e) < 0)
		return -1;
	undo_forget(undo_of(f));
	return 0;
}

static int fault_resample(struct file *f, struct err *e)
{
	TURN t = turn_begin(OP_OTHER, 0);

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
	TURN t = turn_begin(OP_OTHER, 0);
	struct file_fault *ff = (struct file_fault *)f;
	int ret = file_close(ff->inner, e);

	if (ff->undo.file) {
		struct file_fault **link = &fault.undone;

		while (*link != ff)
			link = &(*link)->next;
		*link = ff->next;
		undo_fini(&ff->undo);
	}
	free(ff);
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
		fault_plan_parse(&fault.plan, text);
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
	if (fault_plan_loses(&fault.plan) && (f->flags & FILE_WRITE) && f->regular) {
		undo_init(&ff->undo, f, fault.undone_nr++);
		ff->next = fault.undone;
		fault.undone = ff;
	}
	return &ff->file;
}

size_t file_fault_waiting(size_t usual)
{
	const char *text = getenv("QCOW2_FAULT_WAITING");

	return text ? (size_t)strtoull(text, NULL, 10) : usual;
}

#endif
