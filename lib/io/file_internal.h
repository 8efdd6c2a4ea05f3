#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "io/file.h"

/* One of the three seams. Every operation may assume what file.c has checked: ranges below
 * 2^63, lengths above 0, write access where it is needed. */
struct file_ops {
	/* *got < n only at the end of the file */
	int (*read)(struct file *f, uint64_t off, void *buf, size_t n, size_t *got,
		    struct err *e);
	int (*write)(struct file *f, uint64_t off, const void *buf, size_t n, struct err *e);
	/* 1: done; 0: not possible this way, the caller writes zeros; -1: error */
	int (*zero)(struct file *f, uint64_t off, uint64_t len, enum file_zero_how how,
		    struct err *e);
	void (*discard)(struct file *f, uint64_t off, uint64_t len);
	int (*allocate)(struct file *f, uint64_t off, uint64_t len, struct err *e);
	int (*truncate)(struct file *f, uint64_t size, struct err *e);
	int (*flush)(struct file *f, struct err *e);
	int (*resample)(struct file *f, struct err *e);
	/* start of the next data at or behind off, and of the next hole behind that; false: the
	 * system cannot tell */
	bool (*next_data)(struct file *f, uint64_t off, uint64_t *data, uint64_t *hole);
	int (*close)(struct file *f, struct err *e);
};

/* The common head of every back end; back ends embed it first. */
struct file {
	const struct file_ops *ops;
	char *path;
	unsigned flags;
	int fd;			/* -1: not backed by the system */
	bool regular;
	_Atomic uint64_t size;
	uint64_t device, inode;
};

/* Raises f->size to at least `size`; safe on several threads. */
void file_grew(struct file *f, uint64_t size);
