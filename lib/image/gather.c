#include <stdlib.h>
#include <string.h>

#include "image/builder_internal.h"

int gather_init(struct gather *g, struct file *f, struct err *e)
{
	g->file = f;
	g->bytes = aligned_alloc(4096, GATHER_ROOM);
	return g->bytes ? 0 : err_nomem(e);
}

void gather_fini(struct gather *g)
{
	free(g->bytes);
}

int gather_flush(struct gather *g, struct err *e)
{
	size_t n = g->len;

	g->len = 0;
	return n ? file_write_at(g->file, g->off, g->bytes, n, e) : 0;
}

int gather_put(struct gather *g, uint64_t off, const void *p, size_t n, struct err *e)
{
	if ((g->len && off != g->off + g->len) || n > GATHER_ROOM - g->len)
		if (gather_flush(g, e) < 0)
			return -1;
	if (n > GATHER_ROOM)
		return file_write_at(g->file, off, p, n, e);
	if (!g->len)
		g->off = off;
	memcpy(g->bytes + g->len, p, n);
	g->len += n;
	return 0;
}
