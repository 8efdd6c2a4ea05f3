#include "ops/amend_keys.h"

#include <inttypes.h>

#include "image/image.h"
#include "image/key_slots.h"

#define ITER_MS_DEFAULT 2000

int key_change_check(const struct key_change *c, struct err *e)
{
	if (c->has_slot && c->slot >= LUKS_SLOTS)
		return err_set(e, ERR_INVALID, "Invalid slot %" PRIu64 " specified; they are 0 to %u",
			       c->slot, LUKS_SLOTS - 1);
	if (c->activate && !c->new_secret.p)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.new-secret' is required to activate a key slot");
	if (c->activate && c->old_secret.p)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.old-secret' is for key slots that are made inactive");
	if (!c->activate && c->new_secret.p)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.new-secret' is for key slots that are activated");
	if (!c->activate && c->iter_ms)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.iter-time' is for key slots that are activated");
	if (!c->activate && !c->has_slot && !c->old_secret.p)
		return err_set(e, ERR_INVALID,
			       "Which key slots are to be inactive? encrypt.keyslot or "
			       "encrypt.old-secret says it");
	return 0;
}

static unsigned used_nr(const struct key_slots *k)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		nr += k->header.slots[i].enabled;
	return nr;
}

/* The first slot that is not in use; LUKS_SLOTS: all are. */
static unsigned first_free(const struct key_slots *k)
{
	unsigned i = 0;

	while (i < LUKS_SLOTS && k->header.slots[i].enabled)
		i++;
	return i;
}

/* Overwriting a slot in use takes two steps, and the new key is elsewhere meanwhile; where there is
 * no room for it, seven other keys are. */
static int replace(struct key_slots *k, unsigned slot, const struct key_change *c, uint64_t ms,
		   struct err *e)
{
	unsigned spare = first_free(k);

	if (spare < LUKS_SLOTS && key_slots_fill(k, spare, c->new_secret, ms, e) < 0)
		return -1;
	if (key_slots_erase(k, slot, e) < 0 ||
	    key_slots_fill(k, slot, c->new_secret, ms, e) < 0)
		return -1;
	return spare < LUKS_SLOTS ? key_slots_erase(k, spare, e) : 0;
}

static int activate(struct key_slots *k, const struct key_change *c, struct err *e)
{
	unsigned slot = c->has_slot ? (unsigned)c->slot : first_free(k);
	uint64_t ms = c->iter_ms ? c->iter_ms : ITER_MS_DEFAULT;

	if (slot == LUKS_SLOTS)
		return err_set(e, ERR_INVALID,
			       "Can't add a key slot: all %u are in use; make one inactive first",
			       LUKS_SLOTS);
	if (!k->header.slots[slot].enabled)
		return key_slots_fill(k, slot, c->new_secret, ms, e);
	if (!c->force)
		return err_set(e, ERR_INVALID,
			       "Refusing to overwrite active key slot %u; --force does it", slot);
	return replace(k, slot, c, ms, e);
}

static int erase_slot(struct key_slots *k, const struct key_change *c, struct err *e)
{
	unsigned slot = (unsigned)c->slot;
	bool enabled = k->header.slots[slot].enabled, matches = true;

	if (!enabled && !c->force)
		return err_set(e, ERR_INVALID,
			       "Key slot %u is inactive already; --force wipes it once more", slot);
	if (enabled && c->old_secret.p && key_slots_match(k, slot, c->old_secret, &matches, e) < 0)
		return -1;
	if (!matches)
		return err_set(e, ERR_INVALID,
			       "The old secret does not open key slot %u, which stays", slot);
	if (enabled && used_nr(k) == 1 && !c->force)
		return err_set(e, ERR_INVALID,
			       "Refusing to erase the only active key slot %u: nobody could read the "
			       "image any more; --force does it",
			       slot);
	return key_slots_erase(k, slot, e);
}

static int erase_matching(struct key_slots *k, const struct key_change *c, struct err *e)
{
	bool matches[LUKS_SLOTS] = { false };
	unsigned nr = 0;

	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		if (k->header.slots[i].enabled &&
		    key_slots_match(k, i, c->old_secret, &matches[i], e) < 0)
			return -1;
		nr += matches[i];
	}
	if (!nr)
		return err_set(e, ERR_INVALID, "The old secret opens none of the key slots");
	if (nr == used_nr(k) && !c->force)
		return err_set(e, ERR_INVALID,
			       "Refusing to erase all active key slots, which the old secret opens: "
			       "nobody could read the image any more; --force does it");
	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		if (matches[i] && key_slots_erase(k, i, e) < 0)
			return -1;
	return 0;
}

static int change(struct key_slots *k, const struct key_change *c, struct err *e)
{
	if (c->activate)
		return activate(k, c, e);
	return c->has_slot ? erase_slot(k, c, e) : erase_matching(k, c, e);
}

static int image_check(struct disk *d, const struct key_change *c, struct err *e)
{
	struct image *img = disk_image(d, 0);

	if (!img || image_header(img)->crypt_method != CRYPT_LUKS)
		return err_set(e, ERR_UNSUPPORTED,
			       "only images that are encrypted with LUKS have key slots");
	if (!c->unlock.p)
		return err_set(e, ERR_INVALID,
			       "key slots are changed with a passphrase that opens the image: "
			       "encrypt.key-secret or --passphrase-file must say which");
	return 0;
}

int amend_keys(struct disk *d, const struct key_change *c, const struct listener *l,
	       struct err *e)
{
	struct image_writer *w = NULL;
	struct key_slots k = { 0 };
	int ret = -1;

	if (key_change_check(c, e) < 0 || image_check(d, c, e) < 0)
		return -1;
	w = image_writer_new(d, l, NULL, e);
	if (w && key_slots_init(&k, w, c->unlock, e) == 0)
		ret = change(&k, c, e);
	key_slots_fini(&k);
	image_writer_free(w);
	return ret;
}
