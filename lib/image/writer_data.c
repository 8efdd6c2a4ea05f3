/* Guest data: where it goes, and that it gets there. */
#include "image/writer_internal.h"

#include <string.h>

#include "base/align.h"

/* Entries that are set at once. */
#define RUN_MAX 128

static int guest_write(const struct image_writer *w, uint64_t host, const void *buf, size_t n,
		       struct err *e)
{
	struct file *f = image_guest_file(w->img);

	if (file_write_at(f, host, buf, n, e) == 0)
		return 0;
	return writer_geom(w)->data_file ? file_failed_as_data(f, e) : -1;
}

int writer_write_host(struct image_writer *w, uint64_t guest, uint64_t host, const void *buf,
		      size_t n, struct err *e)
{
	const uint8_t *p = buf;
	size_t piece;

	if (!image_is_encrypted(w->img))
		return guest_write(w, host, buf, n, e);
	for (; n; n -= piece, p += piece, guest += piece, host += piece) {
		piece = MIN(n, SEALED_ROOM);
		memcpy(w->sealed, p, piece);
		if (image_writer_put(w, guest, host, w->sealed, piece, e) < 0)
			return -1;
	}
	return 0;
}

/* What n whole clusters at `guest` have in common: all of them can be written where they are, one
 * behind the other, or all need a new place. Returns how many of `max` (> 0). */
static int run_judge(struct image_writer *w, uint64_t guest, uint64_t max, bool *in_place,
		     uint64_t *host, uint64_t *nr, struct l2_entry *entries, struct err *e)
{
	uint64_t size = geom_cluster_size(writer_geom(w));

	for (*nr = 0; *nr < max; (*nr)++) {
		struct l2_entry *x = &entries[*nr];
		bool here;

		if (writer_entry(w, guest + *nr * size, x, e) < 0 ||
		    writer_in_place(w, x, &here, e) < 0)
			return -1;
		if (!*nr) {
			*in_place = here;
			*host = x->host;
		} else if (here != *in_place || (here && x->host != *host + *nr * size)) {
			break;
		}
	}
	return 0;
}

/* Entries of nr whole clusters that now hold data at `host`. */
static int run_enter(struct image_writer *w, uint64_t guest, uint64_t host, uint64_t nr,
		     const struct l2_entry *entries, bool in_place, struct err *e)
{
	const struct geom *g = writer_geom(w);
	struct map_words words[RUN_MAX];
	bool changed = false;

	for (uint64_t i = 0; i < nr; i++) {
		words[i].raw = (host + (i << g->cluster_bits)) | ENTRY_COPIED;
		words[i].bitmap = g->subclusters ? L2_ALL_ALLOCATED : 0;
		changed |= words[i].raw != entries[i].raw || words[i].bitmap != entries[i].bitmap;
		if (!in_place && writer_release(w, &entries[i], e) < 0)
			return -1;
	}
	return changed ? map_entries_set(&w->disk->map, w->l2_off, geom_l2_index(g, guest),
					 words, (uint32_t)nr, e)
		       : 0;
}

/* Places for whole clusters, at most `nr`, all mapped by the L2 table at hand. *done: bytes. */
static int assign_whole(struct image_writer *w, uint64_t guest, uint64_t nr, uint64_t *host,
			uint64_t *done, struct err *e)
{
	struct l2_entry entries[RUN_MAX];
	bool in_place = false;

	if (run_judge(w, guest, MIN(nr, RUN_MAX), &in_place, host, &nr, entries, e) < 0 ||
	    (!in_place && writer_take(w, guest, nr, host, &nr, e) < 0))
		return -1;
	*done = nr << writer_geom(w)->cluster_bits;
	return run_enter(w, guest, *host, nr, entries, in_place, e);
}

/* Clusters from `guest` on that its L2 table maps. */
static uint64_t clusters_left(const struct geom *g, uint64_t guest)
{
	return geom_l2_entries(g) - geom_l2_index(g, guest);
}

int image_assign(struct image_writer *w, uint64_t guest, uint64_t nr, uint64_t *host,
		 uint64_t *done, struct err *e)
{
	const struct geom *g = writer_geom(w);

	nr = MIN(nr, clusters_left(g, guest));
	if (writer_begin(w, guest, nr << g->cluster_bits, e) < 0 || writer_l2(w, guest, e) < 0)
		return -1;
	return assign_whole(w, guest, nr, host, done, e);
}

int image_writer_put(struct image_writer *w, uint64_t guest, uint64_t host, void *buf, size_t n,
		     struct err *e)
{
	if (image_is_encrypted(w->img)) {
		if (!w->img->cipher.sectors)
			return err_set(e, ERR_INVALID,
				       "the image is encrypted and was not unlocked");
		image_cipher_encrypt(&w->img->cipher, guest, host, buf, n);
	}
	return guest_write(w, host, buf, n, e);
}

bool image_writer_encrypts(const struct image_writer *w)
{
	return image_is_encrypted(w->img);
}

static int write_step(struct image_writer *w, uint64_t guest, const uint8_t *buf, uint64_t n,
		      uint64_t *done, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t in = geom_in_cluster(g, guest), size = geom_cluster_size(g);
	uint64_t left = clusters_left(g, guest) * size - in, host;

	if (writer_l2(w, guest, e) < 0)
		return -1;
	n = MIN(n, left);
	if (!in && n >= size)
		return assign_whole(w, guest, n / size, &host, done, e) < 0
			       ? -1
			       : writer_write_host(w, guest, host, buf, *done, e);
	*done = MIN(n, size - in);
	return writer_write_part(w, guest - in, in, in + *done, buf, e);
}

int image_write(struct image_writer *w, uint64_t guest, const void *buf, size_t n,
		struct err *e)
{
	const uint8_t *p = buf;
	uint64_t done;

	if (guest > w->disk->size || n > w->disk->size - guest)
		return err_set(e, ERR_INVALID, "the write reaches past the end of the disk");
	if (n && writer_begin(w, guest, n, e) < 0)
		return -1;
	for (; n; n -= done, p += done, guest += done)
		if (write_step(w, guest, p, n, &done, e) < 0)
			return -1;
	return 0;
}
