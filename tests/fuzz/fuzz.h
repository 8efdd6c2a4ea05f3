#pragma once
/* A fuzz target is one function over bytes. Refusing them is a fine answer; crashing is not,
 * and neither is to accept them and then disagree with oneself. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AGREE(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                           \
		}                                                                          \
	} while (0)

/* A refusal has a reason, told in one harmless line. */
static inline void fuzz_refused(const struct err *e)
{
	AGREE(err_is(e) && e->text[0]);
	for (const char *p = e->text; *p; p++)
		AGREE((uint8_t)*p >= 0x20 && *p != 0x7f);
}

static inline bool fuzz_same(struct bytes a, struct bytes b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}
