/* A raw target: every guest byte has its place. */
#include "base/align.h"
#include "ops/copy.h"

static int raw_write(struct copy *c, uint64_t host, const void *buf, size_t n, struct err *e)
{
	return file_write_at(c->file, host, buf, n, e);
}

/* Zeros go where the existing target may hold something else. What is a hole already stays
 * as it is, so that space that was reserved stays reserved. */
static int zeros_enter(struct copy *c, uint64_t guest, uint64_t len, struct err *e)
{
	while (len) {
		bool is_data;
		uint64_t n;

		hole_map_next(&c->target_holes, guest, len, &is_data, &n);
		if (is_data && file_zero(c->file, guest, n, FILE_ZERO_KEEP, e) < 0)
			return -1;
		guest += n;
		len -= n;
	}
	return 0;
}

int copy_raw_settle(void *ctx, void *slot, struct err *e)
{
	struct copy *c = ctx;
	struct copy_slot *s = slot;

	copy_settled(c, s);
	if (s->zero_len)
		return zeros_enter(c, s->guest, s->zero_len, e);
	for (size_t at = 0; c->enter_zeros && at < s->len; at += c->step)
		if (s->step_state[at / c->step] == COPY_ZERO &&
		    zeros_enter(c, s->guest + at, MIN(c->step, s->len - at), e) < 0)
			return -1;
	return 1;
}

int copy_raw_finish(void *ctx, void *worker, void *slot, struct err *e)
{
	struct copy *c = ctx;
	struct copy_slot *s = slot;

	return copy_write_steps(c, s, 0, s->len, s->guest, raw_write, e);
}
