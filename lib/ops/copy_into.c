/* A qcow2 image that exists: its writer finds the places, or keeps them. One job after the other,
 * for a write may have to read what was there. */
#include "base/align.h"
#include "image/writer.h"
#include "ops/copy.h"

static int units_write(struct copy *c, const struct copy_slot *s, size_t at, size_t len,
		       enum copy_state state, struct err *e)
{
	if (state == COPY_DATA)
		return image_write(c->writer, s->guest + at, s->in + at, len, e);
	if (state == COPY_ZERO && c->enter_zeros)
		return image_write_zeros(c->writer, s->guest + at, len, false, e);
	return 0;
}

/* A cluster at a time: packed, or as it is where packing does not make it smaller. */
static int packed_write(struct copy *c, const struct copy_slot *s, struct err *e)
{
	size_t size = (size_t)c->grid;

	for (size_t at = 0; at < s->len; at += size) {
		uint32_t packed = s->packed_len[at / size];
		size_t len = MIN(size, s->len - at);

		if (packed ? image_write_packed(c->writer, s->guest + at, s->out + at, packed, e) < 0
			   : units_write(c, s, at, len, copy_unit_state(c, s, at), e) < 0)
			return -1;
	}
	return image_writer_relax(c->writer, e);
}

int copy_into_settle(void *ctx, void *slot, struct err *e)
{
	struct copy *c = ctx;
	struct copy_slot *s = slot;

	copy_settled(c, s);
	if (s->zero_len)
		return image_write_zeros(c->writer, s->guest, s->zero_len, false, e);
	if (c->o->compress)
		return packed_write(c, s, e);
	for (size_t at = 0, end; at < s->len; at = end) {
		enum copy_state state = copy_unit_state(c, s, at);

		for (end = at; end < s->len && copy_unit_state(c, s, end) == state;)
			end += c->unit;
		end = MIN(end, s->len);
		if (units_write(c, s, at, end - at, state, e) < 0)
			return -1;
	}
	return image_writer_relax(c->writer, e);
}
