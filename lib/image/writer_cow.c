/* Writes of less than a cluster (12.1): what is not written is filled with what the disk had. */
#include <string.h>

#include "base/align.h"
#include "image/writer_internal.h"

uint64_t writer_subclusters(const struct geom *g, uint64_t from, uint64_t to)
{
	unsigned first = (unsigned)(from >> (g->cluster_bits - 5));
	unsigned end = (unsigned)((to - 1) >> (g->cluster_bits - 5)) + 1;

	return ((UINT64_C(1) << end) - 1) & ~((UINT64_C(1) << first) - 1);
}

/* The bytes of the host cluster that are written: from .. to-1, and around it whatever would
 * otherwise become visible without ever having been written. */
struct span {
	uint64_t from, to;
};

static bool holds_data(const struct geom *g, const struct l2_entry *x, uint64_t at)
{
	return l2_entry_subcluster_kind(g, x, geom_subcluster_index(g, at)) == CLUSTER_DATA;
}

static struct span span_of_subclusters(const struct geom *g, const struct l2_entry *x,
				       bool in_place, struct span part)
{
	uint64_t size = geom_subcluster_size(g);
	struct span s = { align_down(part.from, size), align_up(part.to, size) };
	uint64_t had = x->bitmap & L2_ALL_ALLOCATED;

	if (x->packed)
		return (struct span){ 0, geom_cluster_size(g) };
	if (in_place) {
		if (holds_data(g, x, part.from))
			s.from = part.from;
		if (holds_data(g, x, part.to - 1))
			s.to = part.to;
	} else if (x->has_host && had) {
		/* The new cluster takes along what the old one held. */
		s.from = MIN(s.from, (uint64_t)__builtin_ctzll(had) * size);
		s.to = MAX(s.to, (uint64_t)(64 - __builtin_clzll(had)) * size);
	}
	return s;
}

static struct span span_of(const struct geom *g, const struct l2_entry *x, bool in_place,
			   struct span part)
{
	if (g->subclusters)
		return span_of_subclusters(g, x, in_place, part);
	if (in_place && !x->zero)
		return part;
	return (struct span){ 0, geom_cluster_size(g) };
}

/* What the disk holds at bytes from .. to-1 of the cluster; zeros behind its end. */
static int old_read(struct image_writer *w, uint64_t guest, uint64_t from, uint64_t to,
		    struct err *e)
{
	uint64_t end = w->disk->size > guest ? w->disk->size - guest : 0;
	uint64_t inside = MIN(to, MAX(end, from));

	if (inside > from && disk_read(w->reader, guest + from, w->cluster + from,
				       (size_t)(inside - from), e) < 0)
		return -1;
	memset(w->cluster + inside, 0, to - inside);
	return 0;
}

static uint64_t bitmap_after(const struct geom *g, const struct l2_entry *x, bool in_place,
			     struct span s)
{
	uint64_t bits = writer_subclusters(g, s.from, s.to);
	uint64_t allocated = in_place ? x->bitmap & L2_ALL_ALLOCATED : 0;
	uint64_t zeros = x->packed ? 0 : x->bitmap & L2_ALL_ZERO;

	return (allocated | bits) | (zeros & ~(bits << 32));
}

/* What is written: an encrypted sector only as a whole. */
static struct span part_of(const struct image_writer *w, uint64_t from, uint64_t to)
{
	if (!image_is_encrypted(w->img))
		return (struct span){ from, to };
	return (struct span){ align_down(from, SECTOR_SIZE), align_up(to, SECTOR_SIZE) };
}

/* A data file is no longer than the disk: who reads it by itself sees where it ends (10.1). */
static struct span span_in_disk(const struct image_writer *w, uint64_t guest, struct span s)
{
	uint64_t end = w->disk->size - guest;

	if (writer_geom(w)->data_file && s.to > end)
		s.to = MIN(s.to, align_up(end, SECTOR_SIZE));
	return s;
}

int writer_write_part(struct image_writer *w, uint64_t guest, uint64_t from, uint64_t to,
		      const uint8_t *buf, struct err *e)
{
	const struct geom *g = writer_geom(w);
	struct l2_entry x;
	uint64_t host, nr, bitmap = 0;
	bool in_place;

	if (writer_entry(w, guest, &x, e) < 0 || writer_in_place(w, &x, &in_place, e) < 0)
		return -1;
	struct span s = span_of(g, &x, in_place, part_of(w, from, to));

	s = span_in_disk(w, guest, s);
	if (old_read(w, guest, s.from, from, e) < 0 || old_read(w, guest, to, s.to, e) < 0)
		return -1;
	host = x.host;
	if (!in_place && writer_take(w, guest, 1, &host, &nr, e) < 0)
		return -1;
	if (s.from == from && s.to == to) {
		if (writer_write_host(w, guest + from, host + from, buf, to - from, e) < 0)
			return -1;
	} else {
		memcpy(w->cluster + from, buf, to - from);
		if (writer_write_host(w, guest + s.from, host + s.from, w->cluster + s.from,
				      s.to - s.from, e) < 0)
			return -1;
	}
	if (!in_place && writer_release(w, &x, e) < 0)
		return -1;
	if (g->subclusters)
		bitmap = bitmap_after(g, &x, in_place, s);
	if (x.raw == (host | ENTRY_COPIED) && x.bitmap == bitmap)
		return 0;
	return writer_entry_set(w, guest, host | ENTRY_COPIED, bitmap, e);
}
