#include "meta/walk_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"

#define WINDOW_BYTES ((size_t)64 << 10)

int window_at(struct walk_window *v, uint64_t pos, size_t want, struct rd *r, struct err *e)
{
	uint64_t left = v->len - MIN(pos, v->len);

	want = (size_t)MIN(want, left);
	if (pos < v->start || pos - v->start > v->n || v->n - (pos - v->start) < want) {
		size_t n = (size_t)MIN(MAX(want, WINDOW_BYTES), left);

		if (n > v->room) {
			uint8_t *more = realloc(v->bytes, n);

			if (!more)
				return err_nomem(e);
			v->bytes = more;
			v->room = n;
		}
		if (file_read_padded(v->walk->src.file, v->off + pos, v->bytes, n, NULL,
				     e) < 0)
			return -1;
		v->start = pos;
		v->n = n;
	}
	*r = rd_over(v->bytes + (pos - v->start), v->n - (pos - v->start));
	return 0;
}

void window_fini(struct walk_window *v)
{
	free(v->bytes);
}
