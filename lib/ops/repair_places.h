#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A map from two numbers to one that is not 0. Zero-initialise; places_fini() accepts that state. */
struct place_slot {
	uint64_t a, b, value; /* value 0: free */
};

struct places {
	struct place_slot *slots;
	size_t room, nr;
};

void places_fini(struct places *p);
bool places_find(const struct places *p, uint64_t a, uint64_t b, uint64_t *value);
/* The pair is not there yet. */
int places_add(struct places *p, uint64_t a, uint64_t b, uint64_t value, struct err *e) MUST_CHECK;
