/* A new qcow2 target: the builder says where things go. */
#include "base/align.h"
#include "ops/copy.h"

static int payload_write(struct copy *c, uint64_t guest, uint64_t host, void *buf, size_t n,
			 struct err *e)
{
	return builder_write(c->builder, guest, host, buf, n, e);
}

enum copy_state copy_unit_state(const struct copy *c, const struct copy_slot *s, size_t at)
{
	size_t end = MIN(at + (size_t)c->unit, s->len);
	enum copy_state state = s->step_state[at / c->step];

	for (; at < end; at += c->step)
		if (s->step_state[at / c->step] == COPY_DATA)
			return COPY_DATA;
	return state;
}

static int data_assign(struct copy *c, struct copy_slot *s, size_t at, size_t len,
		       struct err *e)
{
	while (len) {
		struct copy_place *last = s->place_nr ? &s->places[s->place_nr - 1] : NULL;
		uint64_t host, run;

		if (builder_assign(c->builder, s->guest + at, len, &host, &run, e) < 0)
			return -1;
		if (last && last->at + last->len == at && last->host + last->len == host)
			last->len += run;
		else
			s->places[s->place_nr++] = (struct copy_place){ at, run, host };
		at += run;
		len -= run;
	}
	return 0;
}

/* Units of one state in a row are handled together. */
static int units_settle(struct copy *c, struct copy_slot *s, struct err *e)
{
	for (size_t at = 0; at < s->len;) {
		enum copy_state state = copy_unit_state(c, s, at);
		size_t end = at;

		while (end < s->len && copy_unit_state(c, s, end) == state)
			end += c->unit;
		end = MIN(end, s->len);
		if (state == COPY_DATA && data_assign(c, s, at, end - at, e) < 0)
			return -1;
		if (state == COPY_ZERO && c->enter_zeros &&
		    builder_put_zero(c->builder, s->guest + at, end - at, e) < 0)
			return -1;
		at = end;
	}
	return 0;
}

static int packed_settle(struct copy *c, struct copy_slot *s, struct err *e)
{
	size_t size = (size_t)builder_cluster_size(c->builder);

	for (size_t at = 0; at < s->len; at += size) {
		uint32_t packed = s->packed_len[at / size];
		size_t len = MIN(size, s->len - at);
		bool any = false, zero = false;

		for (size_t k = at; k < at + len; k += c->step) {
			any |= s->step_state[k / c->step] == COPY_DATA;
			zero |= s->step_state[k / c->step] == COPY_ZERO;
		}
		int ret = packed ? builder_put_packed(c->builder, s->guest + at,
						      s->out + at, packed, e)
			  : any  ? data_assign(c, s, at, len, e)
			  : zero && c->enter_zeros
				  ? builder_put_zero(c->builder, s->guest + at, len, e)
				  : 0;
		if (ret < 0)
			return -1;
	}
	return 0;
}

int copy_qcow2_settle(struct copy *c, struct copy_slot *s, struct err *e)
{
	copy_settled(c, s);
	if (s->zero_len)
		return builder_put_zero(c->builder, s->guest, s->zero_len, e);
	if (c->o->compress ? packed_settle(c, s, e) < 0 : units_settle(c, s, e) < 0)
		return -1;
	return s->place_nr > 0;
}

int copy_qcow2_finish(struct copy *c, struct copy_slot *s, struct err *e)
{
	for (size_t i = 0; i < s->place_nr; i++) {
		const struct copy_place *p = &s->places[i];

		/* Zeros that are left out would not decrypt to zeros. */
		if (builder_encrypts(c->builder)
			    ? payload_write(c, s->guest + p->at, p->host, s->in + p->at, p->len, e) < 0
			    : copy_write_steps(c, s, p->at, p->len, p->host, payload_write, e) < 0)
			return -1;
	}
	return 0;
}
