/* A raw target: every guest byte has its place. */
#include "base/align.h"
#include "ops/copy.h"

static int raw_write(struct copy *c, uint64_t guest, uint64_t host, void *buf, size_t n,
		     struct err *e)
{
	(void)guest;
	return target_write(c->target, host, buf, n, e);
}

static int zeros_enter(struct copy *c, uint64_t host, uint64_t len, struct err *e)
{
	return c->unmap_zeros ? file_zero(c->target->file, host, len, FILE_ZERO_PUNCH, e)
			      : target_zero(c->target, host, len, e);
}

int copy_raw_settle(struct copy *c, struct copy_slot *s, struct err *e)
{
	copy_settled(c, s);
	if (s->zero_len)
		return zeros_enter(c, s->guest, s->zero_len, e);
	for (size_t at = 0, run; c->enter_zeros && at < s->len; at += run ? run : c->step) {
		for (run = 0; at + run < s->len &&
			      s->step_state[(at + run) / c->step] == COPY_ZERO;)
			run += c->step;
		if (run && zeros_enter(c, s->guest + at, MIN(run, s->len - at), e) < 0)
			return -1;
	}
	return 1;
}

int copy_raw_finish(struct copy *c, struct copy_slot *s, struct err *e)
{
	return copy_write_steps(c, s, 0, s->len, s->guest, raw_write, e);
}
