/* What is left of a source that can't be read everywhere. */
#include <string.h>

#include "base/align.h"
#include "ops/copy.h"

void copy_losses_add(struct copy_losses *l, uint64_t guest, uint64_t len)
{
	struct copy_loss *last = l->nr ? &l->item[l->nr - 1] : NULL;

	if (!last || (guest != last->end && l->nr < COPY_LOSSES_MAX)) {
		l->item[l->nr++] = (struct copy_loss){ guest, guest + len, len };
		return;
	}
	last->guest = MIN(last->guest, guest);
	last->end = MAX(last->end, guest + len);
	last->len += len;
}

void copy_losses_warn(const struct copy *c, const struct copy_losses *l)
{
	for (unsigned i = 0; i < l->nr && !c->o->salvage_quietly; i++) {
		const struct copy_loss *x = &l->item[i];

		if (x->end - x->guest == x->len)
			warn_to(c->o->listener,
				"%llu bytes from byte %llu on could not be read and became zeros",
				(unsigned long long)x->len, (unsigned long long)x->guest);
		else
			warn_to(c->o->listener,
				"%llu bytes between bytes %llu and %llu could not be read and became zeros",
				(unsigned long long)x->len, (unsigned long long)x->guest,
				(unsigned long long)x->end);
	}
}

/* Whether the plan knows already that the byte is lost. */
static bool known_lost(const struct copy_slot *s, size_t at)
{
	for (size_t i = 0; i < s->piece_nr; i++) {
		const struct copy_piece *p = &s->pieces[i];

		if (p->lost && at >= p->at && at - p->at < p->x.len)
			return true;
	}
	return false;
}

void copy_salvage(struct disk_reader *r, struct copy_slot *s, uint64_t guest, size_t at,
		  uint64_t range)
{
	for (uint64_t done = 0; done < range; done += SECTOR_SIZE) {
		struct err ignored = ERR_INIT;
		uint8_t *to = s->in + at + done;
		size_t len = MIN(SECTOR_SIZE, range - done);

		if (disk_read(r, guest + done, to, len, &ignored) == 0)
			continue;
		memset(to, 0, len);
		if (!known_lost(s, at + done))
			copy_losses_add(&s->losses, s->guest + at + done, len);
	}
}
