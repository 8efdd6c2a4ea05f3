#pragma once
#include "io/file.h"

/* Test builds: puts fault injection between the file and its users when QCOW2_FAULT asks for
 * it. Other builds: returns f. On failure f is closed and NULL returned. */
struct file *file_fault_wrap(struct file *f, struct err *e);

/* How much may wait in memory before it is written: `usual`, or in test builds the number that
 * QCOW2_FAULT_WAITING names, so that small images get as far as large ones do. */
size_t file_fault_waiting(size_t usual);

/* Exit status of a process that an injected crash ended. */
#define FAULT_EXIT 97
