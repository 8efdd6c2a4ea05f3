/* A raw target: every guest byte has its place. */
#include "base/align.h"
#include "ops/copy.h"

static int raw_write(struct copy *c, uint64_t host, const void *buf, size_t n, struct err *e)
{
	return target_write(c->target, host, buf, n, e);
}

int copy_raw_settle(struct copy *c, struct copy_slot *s, struct err *e)
{
	copy_settled(c, s);
	if (s->zero_len)
		return target_zero(c->target, s->guest, s->zero_len, e);
	for (size_t at = 0; c->enter_zeros && at < s->len; at += c->step)
		if (s->step_state[at / c->step] == COPY_ZERO &&
		    target_zero(c->target, s->guest + at, MIN(c->step, s->len - at), e) < 0)
			return -1;
	return 1;
}

int copy_raw_finish(struct copy *c, struct copy_slot *s, struct err *e)
{
	return copy_write_steps(c, s, 0, s->len, s->guest, raw_write, e);
}
