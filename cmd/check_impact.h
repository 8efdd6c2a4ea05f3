#pragma once
#include "ops/impact.h"
#include "out/emit.h"

/* What `check` says of the guest's bytes; `repaired`: as it was before. */
void check_impact_human(const struct impact *x, bool repaired);
void check_impact_json(struct emit *out, const struct impact *x);
