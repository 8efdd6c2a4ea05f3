/* A qcow2 image that exists: its writer finds the places, or keeps them, one job after the other.
 * Whole clusters are written by whoever comes along; a write of less may have to read what was
 * there, and is done at once. */
#include "base/align.h"
#include "image/writer.h"
#include "ops/copy.h"

/* Bytes of s->in from `at` on, less than what is left of a cluster or whole clusters. */
static int data_place(struct copy *c, struct copy_slot *s, size_t at, size_t len, bool later,
		      size_t *done, struct err *e)
{
	uint64_t size = image_writer_cluster_size(c->writer), in = (s->guest + at) % size;
	uint64_t host, bytes;

	if (in || len < size) {
		*done = (size_t)MIN(len, size - in);
		return image_write(c->writer, s->guest + at, s->in + at, *done, e);
	}
	if (image_assign(c->writer, s->guest + at, len / size, &host, &bytes, e) < 0)
		return -1;
	*done = (size_t)bytes;
	if (!later)
		return image_writer_put(c->writer, s->guest + at, host, s->in + at, *done, e);
	s->places[s->place_nr++] = (struct copy_place){ at, *done, host };
	image_writer_hold(c->writer, true); /* zeros that this job has, too, must not commit it */
	return 0;
}

static int units_write(struct copy *c, struct copy_slot *s, size_t at, size_t len,
		       enum copy_state state, bool later, struct err *e)
{
	size_t done;

	if (state == COPY_ZERO && c->enter_zeros)
		return image_write_zeros(c->writer, s->guest + at, len, c->unmap_zeros, e);
	for (; state == COPY_DATA && len; at += done, len -= done)
		if (data_place(c, s, at, len, later, &done, e) < 0)
			return -1;
	return 0;
}

/* Bytes at .. end-1 of the job; neighbours of one state together. */
static int plain_write(struct copy *c, struct copy_slot *s, size_t at, size_t end, bool later,
		       struct err *e)
{
	for (size_t to; at < end; at = to) {
		enum copy_state state = copy_unit_state(c, s, at);

		for (to = at; to < end && copy_unit_state(c, s, to) == state;)
			to += c->unit;
		to = MIN(to, end);
		if (units_write(c, s, at, to - at, state, later, e) < 0)
			return -1;
	}
	return 0;
}

/* A cluster at a time: packed, or as it is where packing does not make it smaller. */
static int packed_write(struct copy *c, struct copy_slot *s, struct err *e)
{
	size_t size = (size_t)c->grid;

	for (size_t at = 0; at < s->len; at += size) {
		uint32_t packed = s->packed_len[at / size];

		if (packed ? image_write_packed(c->writer, s->guest + at, s->out + at, packed, e) < 0
			   : plain_write(c, s, at, MIN(at + size, s->len), false, e) < 0)
			return -1;
	}
	return 0;
}

/* Before a commit all data must be at its place. While one is due nothing is put off any more,
 * until the jobs that were put off are done. */
int copy_into_settle(struct copy *c, struct copy_slot *s, struct err *e)
{
	bool full = image_writer_is_full(c->writer), held = atomic_load(&c->unwritten);

	copy_settled(c, s);
	image_writer_hold(c->writer, held);
	if (full && !held) {
		if (image_writer_relax(c->writer, e) < 0)
			return -1;
		full = false;
	}
	if (s->zero_len)
		return image_write_zeros(c->writer, s->guest, s->zero_len, c->unmap_zeros, e);
	if (c->o->compress ? packed_write(c, s, e) < 0 : plain_write(c, s, 0, s->len, !full, e) < 0)
		return -1;
	if (!s->place_nr)
		return 0;
	atomic_fetch_add(&c->unwritten, 1);
	return 1;
}

int copy_into_finish(struct copy *c, struct copy_slot *s, struct err *e)
{
	for (size_t i = 0; i < s->place_nr; i++)
		if (image_writer_put(c->writer, s->guest + s->places[i].at, s->places[i].host,
				     s->in + s->places[i].at, s->places[i].len, e) < 0)
			return -1;
	atomic_fetch_sub(&c->unwritten, 1);
	return 0;
}
