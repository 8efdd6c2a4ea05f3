#pragma once
#include <stdbool.h>

#include "base/err.h"
#include "cmd/option_list.h"
#include "ops/amend_keys.h"

/* The encrypt.* keys of amend, which change key slots: takes them from the list. *given: there were
 * some; then c is what they ask for, and only c->force and c->unlock are left to be set, the latter
 * to what opens the image (struct spec: secret, or else chain_secret). */
int amend_keys_take(struct option_list *l, struct key_change *c, bool *given, struct err *e);
