#include "io/file_internal.h"

#include "base/align.h"

/* Learns the run that `off` lies in. */
static void hole_map_ask(struct hole_map *m, uint64_t off)
{
	uint64_t data, hole;

	m->start = off;
	if (off >= file_size(m->file)) {
		m->is_data = false;
		m->end = UINT64_MAX;
	} else if (!m->file->ops->next_data(m->file, off, &data, &hole)) {
		m->is_data = true; /* the system cannot tell: all is data */
		m->end = file_size(m->file);
	} else if (data > off) {
		m->is_data = false;
		m->end = data;
	} else {
		m->is_data = true;
		m->end = hole;
	}
}

void hole_map_next(struct hole_map *m, uint64_t off, uint64_t max_len, bool *is_data,
		   uint64_t *len)
{
	if (off < m->start || off >= m->end)
		hole_map_ask(m, off);
	*is_data = m->is_data;
	*len = MIN(max_len, m->end - off);
}
