#pragma once
#include <stddef.h>

#include "base/err.h"

/* n bytes that nobody can guess. */
int random_bytes(void *p, size_t n, struct err *e) MUST_CHECK;
