#include "base/watch.h"

#include <stddef.h>

/* How finely a part is told apart in its whole: can be divided by all small numbers. */
#define GRAIN 720720

static void part_progress(void *arg, uint64_t done, uint64_t total)
{
	const struct watch_part *p = arg;
	uint64_t in = GRAIN;

	if (done < total)
		in = (uint64_t)((unsigned __int128)done * GRAIN / total);
	watch_progress(p->whole, (uint64_t)p->from * GRAIN + (p->to - p->from) * in,
		       (uint64_t)p->of * GRAIN);
}

const struct watch *watch_part_of(struct watch_part *p, const struct watch *whole, unsigned from,
				  unsigned to, unsigned of)
{
	if (!whole)
		return NULL;
	*p = (struct watch_part){ .watch = { part_progress, p, whole->stop },
				  .whole = whole,
				  .from = from,
				  .to = to,
				  .of = of };
	return &p->watch;
}
