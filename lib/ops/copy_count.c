/* No target at all: what would be written is counted. */
#include "base/align.h"
#include "ops/copy.h"

int copy_count_settle(struct copy *c, struct copy_slot *s)
{
	copy_settled(c, s);
	for (size_t at = 0; at < s->len; at += c->unit) {
		enum copy_state state = copy_unit_state(c, s, at);
		size_t len = MIN((size_t)c->unit, s->len - at);

		c->data_len += state == COPY_DATA ? len : 0;
		c->zero_len += state == COPY_ZERO ? len : 0;
	}
	return 0;
}
