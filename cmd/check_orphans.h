#pragma once
#include "ops/orphans.h"
#include "out/emit.h"

/* What `check` says of leaked clusters that may be lost data. */
void check_orphans_human(const struct orphans *o);
void check_orphans_json(struct emit *out, const struct orphans *o);
