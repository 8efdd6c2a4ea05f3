#include "image/key_slots.h"

#include <string.h>

#include "base/secret.h"
#include "crypt/luks.h"
#include "crypt/random.h"
#include "image/writer_internal.h"

int key_slots_init(struct key_slots *k, struct image_writer *w, struct bytes pass,
		   const struct watch *watch, struct err *e)
{
	*k = (struct key_slots){ .writer = w, .watch = watch };
	if (image_luks_load(w->img, &k->header, e) < 0)
		return -1;
	k->key = image_luks_key(w->img, &k->header, pass, w->disk->master, watch, e);
	return k->key ? 0 : -1;
}

void key_slots_fini(struct key_slots *k)
{
	secret_free(k->key);
	k->key = NULL;
}

static uint64_t material_off(const struct key_slots *k, unsigned nr)
{
	return k->writer->img->header.crypto.header_off +
	       (uint64_t)k->header.slots[nr].key_sector * SECTOR_SIZE;
}

/* It holds the master key in the clear for a while. */
static uint8_t *material_new(const struct key_slots *k, struct err *e)
{
	uint8_t *material = secret_new(luks_material_len(&k->header));

	if (!material)
		err_nomem(e);
	return material;
}

int key_slots_match(struct key_slots *k, unsigned nr, struct bytes pass, bool *matches,
		    struct err *e)
{
	size_t n = luks_material_len(&k->header);
	struct luks_key *key = secret_new(sizeof *key);
	uint8_t *material = material_new(k, e);
	int ret = -1;

	if (!key)
		err_nomem(e);
	else if (material &&
		 file_read_at(k->writer->img->file, material_off(k, nr), material, n, e) == 0)
		ret = luks_slot_open(&k->header, nr, pass, k->watch, material, key, e);
	*matches = ret > 0;
	secret_free(material);
	secret_free(key);
	return ret < 0 ? -1 : 0;
}

int key_slots_iterations(const struct key_slots *k, uint64_t iter_ms, uint32_t *iterations,
			 struct err *e)
{
	return luks_slot_iterations(&k->header, iter_ms, iterations, e);
}

int key_slots_check(const struct key_slots *k, unsigned slots, uint32_t iterations, struct err *e)
{
	return luks_slots_check(&k->header, slots, iterations, e);
}

/* Bitmaps stay true, for no guest data changes. */
static int begin(struct key_slots *k, struct err *e)
{
	if (!k->begun && txn_begin(k->writer->txn, AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW, e) < 0)
		return -1;
	k->begun = true;
	return 0;
}

static int material_write(struct key_slots *k, unsigned nr, const uint8_t *material, struct err *e)
{
	struct file *f = k->writer->img->file;

	return file_write_at(f, material_off(k, nr), material, luks_material_len(&k->header), e) < 0
		       ? -1
		       : file_flush(f, e);
}

/* Makes the header what `next` says. It is longer than a sector, and slot 6 lies across both: the
 * second one goes first when a slot comes into use, and last when it goes out of use, so that the
 * word in the first sector always tells of a slot that is whole. */
static int header_write(struct key_slots *k, const struct luks_header *next, bool second_first,
			struct err *e)
{
	uint64_t off = k->writer->img->header.crypto.header_off;
	struct file *f = k->writer->img->file;
	uint8_t bytes[LUKS_HEADER_BYTES];
	struct wr w = wr_over(bytes, sizeof bytes);

	luks_header_encode(&w, next);
	for (unsigned i = 0; i < 2; i++) {
		size_t from = (i == 0) == second_first ? SECTOR_SIZE : 0;
		size_t len = from ? sizeof bytes - SECTOR_SIZE : SECTOR_SIZE;

		if (file_write_at(f, off + from, bytes + from, len, e) < 0 || file_flush(f, e) < 0)
			return -1;
	}
	k->header = *next;
	return 0;
}

int key_slots_fill(struct key_slots *k, unsigned nr, struct bytes pass, uint32_t iterations,
		   struct err *e)
{
	uint8_t *material = material_new(k, e);
	struct luks_header next = k->header;
	int ret = -1;

	/* A change that has begun comes to its end. */
	if (material && luks_slot_fill(&next, nr, k->key, pass, iterations,
				       k->begun ? NULL : k->watch, material, e) == 0 &&
	    begin(k, e) == 0 && material_write(k, nr, material, e) == 0)
		ret = header_write(k, &next, true, e);
	secret_free(material);
	return ret < 0 ? err_ctx(e, "key slot %u", nr) : 0;
}

int key_slots_erase(struct key_slots *k, unsigned nr, struct err *e)
{
	uint8_t *noise = material_new(k, e);
	struct luks_header next = k->header;
	struct luks_slot *s = &next.slots[nr];
	int ret = -1;

	s->enabled = false;
	s->iterations = 0;
	memset(s->salt, 0, sizeof s->salt);
	if (noise && random_bytes(noise, luks_material_len(&k->header), e) == 0 &&
	    begin(k, e) == 0 && header_write(k, &next, false, e) == 0)
		ret = material_write(k, nr, noise, e);
	secret_free(noise);
	return ret < 0 ? err_ctx(e, "key slot %u", nr) : 0;
}
